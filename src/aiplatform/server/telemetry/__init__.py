"""Telemetry of tasks: metrics, charts, logs, use of machines, and their retention."""
