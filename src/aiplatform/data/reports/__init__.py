"""Present quality reports to people: compare two of them, or render one as an HTML page.

The reports are made by :mod:`aiplatform.data.quality`.
"""

from aiplatform.data.reports.comparison import compare_reports
from aiplatform.data.reports.page import Subject, render_report

__all__ = ["Subject", "compare_reports", "render_report"]
