"""Script tasks, which run a user's own command in isolation and with limits."""
