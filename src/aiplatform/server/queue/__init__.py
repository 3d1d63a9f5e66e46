"""The task queue: submission, order, dependencies, claims and control."""
