"""Versions that tasks will read, locked against deletion; many of them in one statement."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, String, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from aiplatform.protocol.references import DatasetRef
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.query_cache import CachedQuery, Key, cached
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.rules import is_label
from aiplatform.server.projects.access import ProjectContext

Ref = tuple[UUID, str | None]
"""A dataset, and a label or tag of a version; None means the current one."""


@dataclass(frozen=True, slots=True)
class PinnedDataset:
    """The facts of a dataset that a submission needs.

    These are plain values: scripts submit tasks by the thousand, and loading an ORM entity takes as
    long as the statement.
    """

    id: int
    uuid: UUID
    name: str


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """The facts of a version that a submission needs; ``version`` is its label."""

    id: int
    version: str
    file_hash: str | None


Pin = tuple[PinnedDataset, PinnedVersion]


def pin_version(session: Session, context: ProjectContext, uuid: UUID, label: str | None) -> Pin:
    """Return a version that a task will read, by default the current one, and lock it.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    ref = (uuid, label)
    return cached(session, _key(context, ref), lambda: _pin(session, context, ref))


def pins_query(context: ProjectContext, wanted: Iterable[DatasetRef]) -> CachedQuery:
    """Return one query that answers :func:`pin_version` for all references ``wanted``."""
    refs = {(ref.dataset, ref.version) for ref in wanted}
    asked = _parameters(context, [ref for ref in refs if _is_plain(ref)])
    return CachedQuery(
        _pins_statement(),
        asked,
        lambda rows: {_key(context, ref): pin for ref, pin in _by_ref(rows).items()},
    )


def _key(context: ProjectContext, ref: Ref) -> Key:
    return ("pinned", context.project_id, *ref)


def _is_plain(ref: Ref) -> bool:
    return ref[1] is None or is_label(ref[1])


@cache
def _pins_statement() -> Compiled:
    """Select the current versions of the datasets ``uuids``, and those with one of ``labels``."""
    # The row says which version is current; an object that was loaded earlier may be outdated.
    is_current = DatasetVersion.version == Dataset.version
    has_label = DatasetVersion.version == any_(bindparam("labels", type_=ARRAY(String)))
    return compiled(
        select(
            *(Dataset.id, Dataset.uuid, Dataset.name),
            DatasetVersion.id.label("version_id"),
            *(DatasetVersion.version, DatasetVersion.file_hash),
            is_current.label("is_current"),
        )
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(
            Dataset.project_id == bindparam("project", type_=Integer()),
            Dataset.uuid == any_(bindparam("uuids", type_=ARRAY(PG_UUID))),
            or_(is_current, has_label),
        )
        .order_by(DatasetVersion.id)  # the same order everywhere, to avoid deadlocks
        # The dataset is locked, too, because deleting it moves it and leaves its versions
        # unchanged.
        .with_for_update(read=True, key_share=True)
    )


def _parameters(context: ProjectContext, refs: Sequence[Ref]) -> dict[str, Any]:
    return {
        "project": context.project_id,
        "uuids": [uuid for uuid, _ in refs],
        "labels": [label for _, label in refs if label is not None],
    }


def _by_ref(rows: Sequence[Any]) -> dict[Ref, Pin]:
    """Return the pins by reference; there may be others of the same datasets among them."""
    by_ref: dict[Ref, Pin] = {}
    for row in rows:
        version = PinnedVersion(row.version_id, row.version, row.file_hash)
        pin = (PinnedDataset(row.id, row.uuid, row.name), version)
        by_ref[row.uuid, row.version] = pin
        if row.is_current:
            by_ref[row.uuid, None] = pin
    return by_ref


def _pin(session: Session, context: ProjectContext, ref: Ref) -> Pin:
    uuid, label = ref
    if _is_plain(ref):
        found = _by_ref(_pins_statement().all(session, **_parameters(context, [ref])))
        if pin := found.get(ref):
            return pin
    dataset = session.scalar(
        select(Dataset)
        .where(Dataset.uuid == uuid, Dataset.project_id == context.project_id)
        .with_for_update(read=True, key_share=True)
    )
    if dataset is None:
        raise NotFound(resource="dataset")
    version = session.scalar(
        select(DatasetVersion)
        .where(
            DatasetVersion.dataset_id == dataset.id,
            DatasetVersion.version == queries.label_of(session, dataset, label),
        )
        .with_for_update(read=True, key_share=True)
    )
    if version is None:
        raise queries.no_such_version(session, dataset, label or dataset.version)
    return (
        PinnedDataset(dataset.id, dataset.uuid, dataset.name),
        PinnedVersion(version.id, version.version, version.file_hash),
    )
