"""HTTP routes for datasets.

``datasets`` contains the routes for datasets, ``versions`` those for their versions, and
``changes`` those that make a version from another one. ``uploads`` receives the request body of a
new dataset or version. ``row_selection`` reads the query parameters that select rows, and compares
two versions. ``tags`` contains the routes for tags, ``storage`` those for parts and storage usage,
and ``findings`` those for the rows of a finding.
"""

from fastapi import APIRouter

from aiplatform.server.datasets.endpoints.changes import router as changes_router
from aiplatform.server.datasets.endpoints.datasets import router as datasets_router
from aiplatform.server.datasets.endpoints.findings import router as findings_router
from aiplatform.server.datasets.endpoints.gates import router as gates_router
from aiplatform.server.datasets.endpoints.imports import router as imports_router
from aiplatform.server.datasets.endpoints.reports import router as reports_router
from aiplatform.server.datasets.endpoints.resumable import router as resumable_router
from aiplatform.server.datasets.endpoints.row_selection import router as row_selection_router
from aiplatform.server.datasets.endpoints.storage import router as storage_router
from aiplatform.server.datasets.endpoints.tags import router as tags_router
from aiplatform.server.datasets.endpoints.versions import router as versions_router

router = APIRouter(tags=["datasets"])
router.include_router(datasets_router)
router.include_router(gates_router)
router.include_router(versions_router)
router.include_router(reports_router)
router.include_router(changes_router)
router.include_router(tags_router)
router.include_router(row_selection_router)
router.include_router(resumable_router)
router.include_router(imports_router)
router.include_router(storage_router)
router.include_router(findings_router)

__all__ = ["router"]
