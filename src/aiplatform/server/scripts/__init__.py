"""Scripts: users' own commands on code bundles."""
