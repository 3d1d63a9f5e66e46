"""Present quality reports to people: compare two of them, or render one as an HTML page.

:mod:`aiplatform.data.quality` makes the reports.
"""

from aiplatform.data.reports.comparison import compared
from aiplatform.data.reports.page import Subject, page_of

__all__ = ["Subject", "compared", "page_of"]
