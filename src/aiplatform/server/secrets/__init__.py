"""Secrets of users and projects, which tasks use by name."""
