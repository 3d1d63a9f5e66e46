"""Request and response bodies of datasets and versions, uploads, imports and reports."""

from aiplatform.server.datasets.schemas.datasets import (
    MAX_NAME,
    NAME_PATTERN,
    CommitOptions,
    DatasetChange,
    DiffPage,
    FilterRequest,
    FixRequest,
    GateRule,
    GateVerdict,
    MapRequest,
    PatchRequest,
    RestoreRequest,
    RowPage,
    SplitOut,
    SplitRequest,
    TagList,
    TagMove,
)
from aiplatform.server.datasets.schemas.imports import ImportRequest
from aiplatform.server.datasets.schemas.reports import (
    FixedRow,
    FixPreview,
    QualityReport,
    QualityRequest,
    ReportChanges,
)
from aiplatform.server.datasets.schemas.uploads import TusMetadata

__all__ = [
    "MAX_NAME",
    "NAME_PATTERN",
    "CommitOptions",
    "DatasetChange",
    "DiffPage",
    "FilterRequest",
    "FixPreview",
    "FixRequest",
    "FixedRow",
    "GateRule",
    "GateVerdict",
    "ImportRequest",
    "MapRequest",
    "PatchRequest",
    "QualityReport",
    "QualityRequest",
    "ReportChanges",
    "RestoreRequest",
    "RowPage",
    "SplitOut",
    "SplitRequest",
    "TagList",
    "TagMove",
    "TusMetadata",
]
