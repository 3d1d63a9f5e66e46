"""The data that quality reports compare with, and the model whose tokenizer counts tokens."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import ComparedRef
from aiplatform.server.core.errors import Conflict, NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.queries import reports
from aiplatform.server.datasets.queries.pins import pin_version
from aiplatform.server.datasets.rules import RequiredComparison, is_compared
from aiplatform.server.datasets.service import base_models
from aiplatform.server.datasets.service.gates import gate_of
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.service.kinds import InputRef

Role = Literal["evaluation", "benchmark"]

MAX_COMPARED = 20
INPUT_ROLE_PREFIX = "against_"
"""Prefix of the roles of comparison inputs; a number follows. The child looks for it."""


def pin_comparisons(
    session: Session, context: ProjectContext, dataset: DatasetRef, against: Iterable[ComparedRef]
) -> list[tuple[ComparedRef, InputRef]]:
    """Return the data to compare with, each with an exact version, and the matching task inputs.

    The data named by the gate comes first, then ``against``, without duplicates. If there are more
    than :data:`MAX_COMPARED`, the first ones in ``against`` are dropped.

    Raises:
        NotFound: for data that the project does not have.
    """
    named = _pin_all(session, context, gate_comparisons(session, context, dataset))
    others = _pin_all(session, context, against)
    left = [key for key in others if key not in named]
    kept = {**named, **{key: others[key] for key in left[-(MAX_COMPARED - len(named)) :]}}
    return [
        (
            ComparedRef(dataset=uuid, version=version.version, role=role, label=label),
            InputRef(
                role=f"{INPUT_ROLE_PREFIX}{number}",
                label=label,
                content_hash=version.file_hash,
                dataset_version_id=version.id,
            ),
        )
        for number, ((uuid, role, label), version) in enumerate(kept.items())
    ]


def _pin_all(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> dict[tuple[UUID, Role, str], DatasetVersion]:
    found = {}
    for ref in refs:
        dataset, version = pin_version(session, context, ref.dataset, ref.version)
        found[ref.dataset, ref.role, f"{dataset.name}@{version.version}"] = version
    return found


def gate_comparisons(
    session: Session, context: ProjectContext, dataset: DatasetRef
) -> list[ComparedRef]:
    """Return the data with which every dataset must be compared, according to the project's gate.

    Data named by the gate itself is not compared with anything, so the list is empty for it.
    """
    gate = gate_of(session, context.project_id)
    refs = [
        *(ComparedRef(**dict(ref), role="evaluation") for ref in gate.evaluation),
        *(ComparedRef(**dict(ref), role="benchmark") for ref in gate.benchmarks),
    ]
    if any(ref.dataset == dataset.dataset for ref in refs):
        return []
    return existing_references(session, context, refs)


def previous_comparisons(
    session: Session, context: ProjectContext, dataset: Dataset
) -> list[ComparedRef]:
    """Return what the dataset's last report was compared with, except what the gate names."""
    config = reports.last_quality_spec(session, dataset.id) or {}
    refs = [ComparedRef.model_validate(ref) for ref in config.get("against") or ()]
    gate = gate_comparisons(session, context, DatasetRef(dataset=dataset.uuid))
    named = {(ref.dataset, ref.role) for ref in gate}
    others = [ref for ref in refs if (ref.dataset, ref.role) not in named]
    return existing_references(session, context, newest_references(others))


def newest_references(refs: Iterable[ComparedRef]) -> list[ComparedRef]:
    """Return only the last reference to each dataset in each role.

    Otherwise each new report on a dataset would compare it with more versions of the same data.
    """
    last: dict[tuple[UUID, Role], ComparedRef] = {}
    for ref in refs:
        last.pop((ref.dataset, ref.role), None)
        last[ref.dataset, ref.role] = ref
    return list(last.values())


def previous_token_settings(
    session: Session, context: ProjectContext, dataset: Dataset, label: str
) -> tuple[UUID | None, int | None]:
    """Return the model and the maximum length in tokens that a version's last report used.

    Both are None if the report counted no tokens, or the model can no longer be used. This raises
    no error, because the caller did not ask for the model.
    """
    config = reports.last_quality_spec(session, dataset.id, label) or {}
    found = config.get("base_model")
    if found is not None:
        with suppress(NotFound, Conflict):
            base_models.usable_base_model(session, context, UUID(found))
            return UUID(found), config.get("max_length")
    return None, None


def existing_references(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> list[ComparedRef]:
    """Return the references whose data still exists.

    No error is needed for deleted data named by a gate: the report then lacks the comparison, which
    makes the gate refuse the version.
    """
    left = []
    for ref in refs:
        with suppress(NotFound):
            pin_version(session, context, ref.dataset, ref.version)
            left.append(ref)
    return left


def needs_comparison(session: Session, version: DatasetVersion, held_out: DatasetVersion) -> bool:
    """Return True if a version's newest report did not compare it with this evaluation data."""
    report = queries.report_of(session, version.id)
    wanted: RequiredComparison | None = reports.evaluation_data(session, held_out.id)
    return wanted is not None and (report is None or not is_compared(report.report, wanted))
