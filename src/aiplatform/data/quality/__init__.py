"""The quality report of a dataset version, which answers "may I train on this?".

Each check is a small class in its own file. It receives every batch once, and then returns
its findings. :data:`~aiplatform.data.quality.builtin_checks.CHECKS` lists the checks, and
:func:`~aiplatform.data.quality.report.make_report` runs them over the canonical Parquet file in one
pass and adds a score.
"""

from aiplatform.data.quality.check import Check, Context, Finding

__all__ = ["Check", "Context", "Finding"]
