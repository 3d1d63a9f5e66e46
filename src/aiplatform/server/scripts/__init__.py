"""Scripts: users' commands that run as tasks, with their code in bundles."""
