"""The queue: submitting, claiming, leases, running, telemetry."""
