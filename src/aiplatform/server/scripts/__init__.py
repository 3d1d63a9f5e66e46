"""Scripts: commands of users, run as tasks, with their code in bundles."""
