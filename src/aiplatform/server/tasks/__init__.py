"""The task queue: submission, claims, leases, execution in child processes, and telemetry."""
