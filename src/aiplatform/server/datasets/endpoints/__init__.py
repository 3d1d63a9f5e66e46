"""HTTP routes for datasets.

``datasets`` contains the routes for datasets themselves, ``versions`` the routes for their
versions, rows, tags and storage, and ``changes`` the routes that create a version from an existing
one. ``uploads`` receives the file of a new dataset or version in one request, ``resumable`` in
several requests. ``reports`` contains the routes for quality reports, their findings and the
quality gate.
"""

from fastapi import APIRouter

from aiplatform.server.datasets.endpoints import (
    changes,
    datasets,
    reports,
    resumable,
    uploads,
    versions,
)

router = APIRouter(tags=["datasets"])
router.include_router(datasets.router)
router.include_router(reports.gates_router)
router.include_router(versions.router)
router.include_router(reports.router)
router.include_router(changes.router)
router.include_router(versions.tags_router)
router.include_router(versions.comparison_router)
router.include_router(resumable.router)
router.include_router(uploads.imports_router)
router.include_router(versions.storage_router)
router.include_router(reports.findings_router)

__all__ = ["router"]
