"""Accounts, roles, sessions and tokens, and the guards that authenticate requests."""
