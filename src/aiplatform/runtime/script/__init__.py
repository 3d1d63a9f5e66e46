"""Tasks of type script: a user's own command, kept in bounds."""
