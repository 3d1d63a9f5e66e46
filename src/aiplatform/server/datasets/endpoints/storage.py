"""What versions are made of, what they cost, and cleaning up."""

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
    """The pieces of its Parquet, each a range of `content`, with the hash of its bytes.

    Whoever keeps the pieces of one version fetches only those of another that differ.
    """
    return storage.parts_of(session, context, dataset, version)


@router.get("/projects/{project}/datasets/storage", summary="Read what datasets cost")
def get_datasets_storage(
    context: Annotated[ProjectContext, Depends(access.LIST)], session: SessionDep
) -> StorageReport:
    """Bytes by dataset, dearest first: as downloaded, as charged, and as stored once."""
    return storage.report(session, context)


@router.get("/datasets/{dataset}/storage", summary="Read what versions cost")
def get_dataset_storage(dataset: UUID, context: Reader, session: SessionDep) -> DatasetStorage:
    """Bytes by version, newest first: as downloaded, as charged, and what it alone is made of."""
    return storage.report_on(session, context, dataset)


@router.post("/storage/gc", summary="Clean up the store")
def collect_storage(
    principal: Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_WRITE))],
    session: SessionDep,
    body: CollectRequest | None = None,
) -> Collected:
    """Mark what nothing has referred to for a day, and delete what was marked an hour ago.

    Workers do the same now and then. Parts that a version still needs are never touched.
    """
    asked = body or CollectRequest()
    return storage.collect(session, principal, dry_run=asked.dry_run)
