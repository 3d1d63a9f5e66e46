"""Pure rules of execution: shares of the cores, estimates, failures and paths of artifacts."""
