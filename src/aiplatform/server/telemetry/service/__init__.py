"""Use cases of telemetry.

``ingest`` stores metrics, ``charts`` reads them for display, and ``feed`` sends events to watchers.
``logs`` reads logs. ``telemetry`` stores and reads resource usage. ``retention`` deletes old data.
"""
