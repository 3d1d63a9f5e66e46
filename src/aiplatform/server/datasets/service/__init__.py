"""Use cases of datasets.

``ingest`` has an upload read, ``commits`` makes datasets and versions of it,
``quality`` asks for reports and keeps them, ``content`` reads what a version holds.
"""

from aiplatform.server.datasets.service.commits import (
    Upload,
    add_version,
    create_dataset,
    delete_dataset,
    foresee,
    rename,
)
from aiplatform.server.datasets.service.quality import pinned_input, request_report

__all__ = [
    "Upload",
    "add_version",
    "create_dataset",
    "delete_dataset",
    "foresee",
    "pinned_input",
    "rename",
    "request_report",
]
