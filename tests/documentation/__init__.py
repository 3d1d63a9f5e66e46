"""Tests that run the documentation's commands and Python code."""
