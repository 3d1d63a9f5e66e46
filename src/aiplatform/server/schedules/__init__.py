"""Schedules: tasks and runs that are submitted at recurring times."""
