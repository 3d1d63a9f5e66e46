"""Secrets that users and projects give, and that tasks use by name."""
