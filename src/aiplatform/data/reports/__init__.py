"""Quality reports as people read them: what changed between two, and a page to pass on.

Nothing here makes a report; see :mod:`aiplatform.data.quality`.
"""

from aiplatform.data.reports.comparison import compared
from aiplatform.data.reports.page import Subject, page_of

__all__ = ["Subject", "compared", "page_of"]
