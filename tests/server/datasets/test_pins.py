"""Looking up and locking the versions of many submissions in one statement."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from aiplatform.protocol.references import DatasetRef
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.query_cache import prefetch, query_cache
from aiplatform.server.datasets.errors import NoSuchVersion
from aiplatform.server.datasets.models import Dataset, DatasetTag, DatasetVersion
from aiplatform.server.datasets.queries import pins
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_context, make_model, make_project, make_task

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def datasets(stored: Callable[..., Dataset]) -> list[Dataset]:
    return [stored() for _ in range(3)]


def version_of(session: Session, dataset: Dataset) -> DatasetVersion:
    return session.scalars(
        select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    ).one()


def test_many_versions_are_found_by_one_statement(
    session: Session, project: Project, datasets: list[Dataset], sent: list[tuple[str, bool]]
) -> None:
    context = make_context(session, project)
    versions = [version_of(session, dataset).id for dataset in datasets]
    labels = [None, "v1", None]
    refs = [
        DatasetRef(dataset=dataset.uuid, version=label)
        for dataset, label in zip(datasets, labels, strict=True)
    ]
    sent.clear()
    with query_cache(session):
        prefetch(session, [pins.pins_query(context, [*refs, *refs])])
        found = [pins.pin_version(session, context, ref.dataset, ref.version) for ref in refs]
    assert len(sent) == 1
    assert [(head.id, version.id) for head, version in found] == [
        (dataset.id, version) for dataset, version in zip(datasets, versions, strict=True)
    ]


def test_tags_and_missing_versions_are_looked_up_one_by_one(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    """Each missing dataset or version gets its own error."""
    tagged = version_of(session, datasets[0])
    session.add(DatasetTag(dataset_id=datasets[0].id, name="prod", version_id=tagged.id))
    session.commit()
    here, elsewhere = make_context(session, project), make_context(session, make_project(session))
    uuid = datasets[0].uuid
    wanted = [(uuid, "@prod"), (uuid, "v2"), (uuid4(), None)]
    with query_cache(session):
        refs = [DatasetRef(dataset=dataset, version=label) for dataset, label in wanted]
        there = pins.pins_query(elsewhere, [DatasetRef(dataset=uuid)])
        prefetch(session, [pins.pins_query(here, refs), there])
        assert pins.pin_version(session, here, uuid, "@prod")[1].id == tagged.id
        for context, (dataset, label), noun in (
            (here, wanted[1], "dataset version"),
            (here, wanted[2], "dataset"),
            (elsewhere, (uuid, None), "dataset"),
        ):
            with pytest.raises(NotFound) as refused:
                pins.pin_version(session, context, dataset, label)
            assert refused.value.params["resource"] == noun


def test_current_version_is_read_from_the_database(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context, dataset = make_context(session, project), datasets[0]
    first = version_of(session, dataset)
    assert dataset.version == "v1"  # the session still has this value later
    with transaction() as other:
        other.add(DatasetVersion(dataset_id=dataset.id, version="v2", file_hash=first.file_hash))
        other.get_one(Dataset, dataset.id).version = "v2"
    assert pins.pin_version(session, context, dataset.uuid, None)[1].version == "v2"


def test_current_version_need_not_be_the_newest(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context, dataset = make_context(session, project), datasets[0]
    session.add(DatasetVersion(dataset_id=dataset.id, version="v2"))  # on a branch
    session.commit()
    refs = [DatasetRef(dataset=dataset.uuid, version=label) for label in (None, "v2")]
    with query_cache(session):
        prefetch(session, [pins.pins_query(context, refs)])
        found = [pins.pin_version(session, context, ref.dataset, ref.version) for ref in refs]
    assert [version.version for _, version in found] == ["v1", "v2"]


def test_pinned_datasets_are_locked_until_the_commit(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context = make_context(session, project)
    refs = [DatasetRef(dataset=dataset.uuid) for dataset in datasets]

    def lock() -> None:
        with transaction() as deleting:
            deleting.execute(
                select(Dataset.id).where(Dataset.id == datasets[2].id).with_for_update(nowait=True)
            )

    lock()
    with query_cache(session):
        prefetch(session, [pins.pins_query(context, refs)])
    with pytest.raises(OperationalError, match="could not obtain lock"):
        lock()
    session.commit()
    lock()


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("kind", ["data_quality", "evaluation"])
def test_submission_sends_its_queries_together(
    session: Session,
    mine: Api,
    project: Project,
    datasets: list[Dataset],
    sent: list[tuple[str, bool]],
    kind: str,
    number: int,
) -> None:
    """Expect one round trip for all queries that are known in advance."""
    more: dict[str, Any] = {}
    if kind == "evaluation":
        more = {"model": str(make_model(session, project).uuid)}
        session.commit()
    specs = [{"type": kind, "dataset": {"dataset": str(each.uuid)}, **more} for each in datasets]
    body = [{"name": "one of some", "spec": spec} for spec in specs[:number]]
    sent.clear()
    answer = mine.post(f"projects/{project.uuid}/tasks/batch", json={"tasks": body})
    assert answer.status_code == 202, answer.text
    tables = ["FROM datasets ", "SELECT EXISTS ( SELECT FROM workers "]
    if kind == "data_quality":
        tables.append("FROM dataset_gates ")
    for table in tables:
        assert [together for words, together in sent if table in words] == [True], table


def test_task_that_waits_for_others_locks_tasks_before_datasets(
    session: Session,
    mine: Api,
    project: Project,
    datasets: list[Dataset],
    sent: list[tuple[str, bool]],
) -> None:
    """Expect the same order as at the end of tasks, which avoids deadlocks."""
    first = make_task(session, project)
    uuid = str(datasets[0].uuid)
    body = {
        "name": "later",
        "spec": {"type": "data_quality", "dataset": {"dataset": uuid}},
        "after": [{"task": str(first.uuid)}],
    }
    sent.clear()
    answer = mine.post(f"projects/{project.uuid}/tasks", json=body)
    assert answer.status_code == 202, answer.text
    locks = [words for words, _ in sent if "FOR " in words]
    [tasks] = [place for place, words in enumerate(locks) if "FROM tasks" in words]
    [read] = [place for place, words in enumerate(locks) if "FROM datasets " in words]
    assert tasks < read


def test_unknown_version_error_lists_known_versions(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    dataset = datasets[0]
    session.add(
        DatasetTag(dataset_id=dataset.id, name="prod", version_id=version_of(session, dataset).id)
    )
    session.commit()
    with pytest.raises(NoSuchVersion) as refused:
        pins.pin_version(session, make_context(session, project), dataset.uuid, "v9")
    assert refused.value.text("en") == f"{dataset.name} has no version v9. There are: @prod, v1."
    assert refused.value.text("zh") == f"数据集 {dataset.name} 没有版本 v9。现有：@prod, v1。"
    with pytest.raises(NoSuchVersion, match="has no version @tset"):
        pins.pin_version(session, make_context(session, project), dataset.uuid, "@tset")
