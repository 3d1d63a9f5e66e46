"""Use cases of telemetry.

``ingest`` stores metrics, ``charts`` reads them for display, and ``feed`` sends events to watchers.
``logs`` reads logs, ``telemetry`` the use of machines; ``retention`` deletes what is too old.
"""
