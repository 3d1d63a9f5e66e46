"""Submissions that recur by the calendar."""
