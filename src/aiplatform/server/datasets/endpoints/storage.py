"""Routes for the parts and storage usage of versions, and for garbage collection."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.storage import (
    Collected,
    CollectRequest,
    DatasetStorage,
    StorageReport,
    VersionParts,
)
from aiplatform.server.datasets import access
from aiplatform.server.datasets.endpoints.versions import Label
from aiplatform.server.datasets.service import storage
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1")
Reader = Annotated[ProjectContext, Depends(access.READ)]


@router.get("/datasets/{dataset}/versions/{version}/parts", summary="List the parts of a version")
def list_version_parts(
    dataset: UUID, version: Label, context: Reader, session: SessionDep
) -> VersionParts:
    """List the parts of a version's Parquet file: ranges of `content`, each with its hash.

    A client that keeps the parts of one version needs to fetch only those parts of another that
    differ.
    """
    return storage.parts_of(session, context, dataset, version)


@router.get("/projects/{project}/datasets/storage", summary="Read what datasets cost")
def get_datasets_storage(
    context: Annotated[ProjectContext, Depends(access.LIST)], session: SessionDep
) -> StorageReport:
    """Return bytes by dataset, largest first: as downloaded, as charged, and as actually stored."""
    return storage.project_report(session, context)


@router.get("/datasets/{dataset}/storage", summary="Read what versions cost")
def get_dataset_storage(dataset: UUID, context: Reader, session: SessionDep) -> DatasetStorage:
    """Return bytes by version, newest first: as downloaded, as charged, and stored only for it."""
    return storage.dataset_report(session, context, dataset)


@router.post("/storage/gc", summary="Clean up the store")
def collect_storage(
    principal: Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_WRITE))],
    session: SessionDep,
    body: CollectRequest | None = None,
) -> Collected:
    """Mark blobs unreferenced for a day, and delete those that were marked an hour ago.

    Workers do the same from time to time. Parts that a version still needs are never touched.
    """
    asked = body or CollectRequest()
    return storage.collect(session, principal, dry_run=asked.dry_run)
