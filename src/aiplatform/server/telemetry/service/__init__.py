"""Use cases for telemetry.

``ingest`` stores metrics, ``charts`` reads them for display, and ``feed`` sends events to watchers.
``logs`` reads logs, ``telemetry`` stores and reads resource usage, and ``retention`` deletes old
data.
"""
