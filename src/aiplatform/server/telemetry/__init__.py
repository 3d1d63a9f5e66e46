"""Telemetry of tasks: metrics, charts, logs, resource usage, and their retention."""
