"""May I train on this? The quality report of a dataset version.

Each check is a small class in a file of its own that looks at every batch once and then says what
it found; :data:`CHECKS` lists them. :func:`~aiplatform.data.quality.report.make_report` runs them
over the canonical Parquet in one pass and adds a score.
"""

from aiplatform.data.quality.check import Check, Context, Finding
from aiplatform.data.quality.duplicates import Duplicates
from aiplatform.data.quality.empty import Empty
from aiplatform.data.quality.missing import Missing
from aiplatform.data.quality.roles import Roles
from aiplatform.data.quality.shape import Shape
from aiplatform.data.quality.sides import Sides

__all__ = ["CHECKS", "Check", "Context", "Finding"]

CHECKS: tuple[type[Check], ...] = (Shape, Missing, Empty, Duplicates, Roles, Sides)
"""In the order in which their findings are listed, within a severity."""
