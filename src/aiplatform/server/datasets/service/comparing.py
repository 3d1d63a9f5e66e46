"""Which other data the report of a dataset compares it with."""

from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy.orm import Session

from aiplatform.protocol.specs import ComparedRef, DatasetRef
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.queries import reports
from aiplatform.server.datasets.rules import Compared, is_compared
from aiplatform.server.datasets.service.gates import gate_of
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.service.kinds import InputRef

MOST = 20
INPUT = "against_"
"""The role of such an input, with its number behind it; the runtime finds it by that."""


def pinned(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> list[tuple[ComparedRef, InputRef]]:
    """The references with their versions named, once each, and the inputs they are.

    Raises:
        NotFound: for data that the project does not have.
    """
    found: dict[tuple[object, ...], tuple[ComparedRef, InputRef]] = {}
    for ref in refs:
        head, version = queries.pin_version(session, context, ref.dataset, ref.version)
        label = f"{head.name}@{version.version}"
        exact = ComparedRef(
            dataset=ref.dataset, version=version.version, role=ref.role, label=label
        )
        entry = InputRef(
            role=f"{INPUT}{len(found)}",
            label=label,
            content_hash=version.file_hash,
            dataset_version_id=version.id,
        )
        found.setdefault((ref.dataset, version.version, ref.role), (exact, entry))
    return list(found.values())[:MOST]


def named_by_gate(
    session: Session, context: ProjectContext, dataset: DatasetRef
) -> list[ComparedRef]:
    """What the project's gate wants every dataset compared with. What it names is not compared
    with the rest of it.
    """
    gate = gate_of(session, context.project_id)
    refs = [
        *(ComparedRef(**dict(ref), role="evaluation") for ref in gate.evaluation),
        *(ComparedRef(**dict(ref), role="benchmark") for ref in gate.benchmarks),
    ]
    if any(ref.dataset == dataset.dataset for ref in refs):
        return []
    return still_there(session, context, refs)


def as_before(session: Session, context: ProjectContext, dataset: Dataset) -> list[ComparedRef]:
    """What the last report of the dataset was compared with."""
    config = reports.newest_check(session, dataset) or {}
    refs = [ComparedRef.model_validate(ref) for ref in config.get("against") or ()]
    return still_there(session, context, refs)


def still_there(
    session: Session, context: ProjectContext, refs: Iterable[ComparedRef]
) -> list[ComparedRef]:
    """Those that were not deleted meanwhile. A gate that names a deleted one says so itself: the
    report lacks it, and the gate refuses what it has not been compared with.
    """
    left = []
    for ref in refs:
        with suppress(NotFound):
            queries.pin_version(session, context, ref.dataset, ref.version)
            left.append(ref)
    return left


def lacks(session: Session, version: DatasetVersion, held_out: DatasetVersion) -> bool:
    """Whether the newest report of a version does not compare it with that evaluation data."""
    report = queries.report_of(session, version.id)
    wanted: Compared | None = reports.evaluation_data(session, held_out.id)
    return wanted is not None and (report is None or not is_compared(report.report, wanted))
