"""Versions that tasks will read, locked against deletion; many of them in one statement."""

from collections.abc import Collection, Iterable
from functools import cache
from uuid import UUID

from sqlalchemy import ARRAY, Select, String, any_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from aiplatform.protocol.references import DatasetRef
from aiplatform.server.core.database import know, once
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.rules import is_label
from aiplatform.server.projects.access import ProjectContext

Ref = tuple[UUID, str | None]
"""A dataset, and a label or tag of a version; None: the current one."""

Pin = tuple[Dataset, DatasetVersion]


def pin_version(session: Session, context: ProjectContext, uuid: UUID, label: str | None) -> Pin:
    """A version that a task will read, by default the current one.

    Raises:
        NotFound: when the project has no such dataset or the dataset no such version.
    """
    ref = (uuid, label)
    return once(session, _key(context, ref), lambda: _pin(session, context, ref))


def look_ahead(session: Session, context: ProjectContext, wanted: Iterable[DatasetRef]) -> None:
    """Pin all that there are of ``wanted`` at once, for when :func:`pin_version` is asked for each.

    Only within :func:`~aiplatform.server.core.database.asked_once`.
    """
    refs = {(ref.dataset, ref.version) for ref in wanted}
    plain = {ref for ref in refs if ref[1] is None or is_label(ref[1])}
    found = _found(session, context, plain)
    know(session, {_key(context, ref): pin for ref, pin in found.items()})


def _key(context: ProjectContext, ref: Ref) -> tuple[object, ...]:
    return ("pinned", context.project_id, *ref)


@cache
def _statement() -> Select[Dataset, DatasetVersion, bool]:
    """Of the datasets ``uuids`` the current version, and those with one of ``labels``.

    Built once, since that takes longer than to run it.
    """
    # Which one is current the row says: of a dataset that was read before, the object may be older.
    is_current = DatasetVersion.version == Dataset.version
    has_label = DatasetVersion.version == any_(bindparam("labels", type_=ARRAY(String)))
    return (
        select(Dataset, DatasetVersion, is_current)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(
            Dataset.project_id == bindparam("project"),
            Dataset.uuid == any_(bindparam("uuids", type_=ARRAY(PG_UUID))),
            or_(is_current, has_label),
        )
        .order_by(DatasetVersion.id)  # in which order all lock several
        # The head is locked too: deleting it moves it, and leaves its versions as they are.
        .with_for_update(read=True, key_share=True)
    )


def _found(session: Session, context: ProjectContext, refs: Collection[Ref]) -> dict[Ref, Pin]:
    """Those that the project has, of ``refs`` without tags; perhaps others of their datasets."""
    asked = {
        "project": context.project_id,
        "uuids": [uuid for uuid, _ in refs],
        "labels": [label for _, label in refs if label is not None],
    }
    by_ref: dict[Ref, Pin] = {}
    for dataset, version, is_current in session.execute(_statement(), asked):
        pin = (dataset, version)
        by_ref[dataset.uuid, version.version] = pin
        if is_current:
            by_ref[dataset.uuid, None] = pin
    return by_ref


def _pin(session: Session, context: ProjectContext, ref: Ref) -> Pin:
    uuid, label = ref
    if (label is None or is_label(label)) and (pin := _found(session, context, [ref]).get(ref)):
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
        raise NotFound(resource="dataset version")
    return dataset, version
