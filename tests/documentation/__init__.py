"""Tests that run the commands and Python code of the documentation."""
