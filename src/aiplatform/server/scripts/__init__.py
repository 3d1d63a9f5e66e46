"""Scripts: commands that users run as tasks, with the code in bundles."""
