"""Tasks of type script: a user's own command, run in isolation and with limits."""
