"""The commands and Python code of the documentation, run as they are written."""
