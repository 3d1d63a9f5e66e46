"""Datasets, their versions and quality reports."""
