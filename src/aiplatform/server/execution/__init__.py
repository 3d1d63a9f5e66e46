"""Execution of tasks: workers, leases, attempts and their child processes, and external runs."""
