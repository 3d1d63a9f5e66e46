"""Use cases for datasets.

``ingest`` runs the program that parses uploads, ``commits`` creates datasets and versions from its
output, ``quality`` requests quality reports and stores them, and ``content`` reads the rows of a
version.
"""

from aiplatform.server.datasets.service.commits import (
    Upload,
    add_version,
    check_upload_allowed,
    create_dataset,
    delete_dataset,
    rename,
)
from aiplatform.server.datasets.service.quality import pinned_input, request_report

__all__ = [
    "Upload",
    "add_version",
    "check_upload_allowed",
    "create_dataset",
    "delete_dataset",
    "pinned_input",
    "rename",
    "request_report",
]
