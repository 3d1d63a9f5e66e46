"""Tasks of type script: a user's own command, isolated and with limits."""
