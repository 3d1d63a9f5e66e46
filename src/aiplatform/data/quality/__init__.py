"""May I train on this? The quality report of a dataset version.

Each check is a small class in a file of its own that looks at every batch once and then says what
it found; :data:`~aiplatform.data.quality.checks.CHECKS` lists them.
:func:`~aiplatform.data.quality.report.make_report` runs them over the canonical Parquet in one pass
and adds a score.
"""

from aiplatform.data.quality.check import Check, Context, Finding

__all__ = ["Check", "Context", "Finding"]
