"""Pure rules of telemetry: levels of log lines, sampling of series, and alerts."""
