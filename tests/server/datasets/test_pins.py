"""Tests of the dataset versions that a task submission looks up and locks."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import NoSuchVersion
from aiplatform.server.datasets.models import Dataset, DatasetTag, DatasetVersion
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_context, make_project, make_task

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def datasets(stored: Callable[..., Dataset]) -> list[Dataset]:
    return [stored() for _ in range(3)]


def version_of(session: Session, dataset: Dataset) -> DatasetVersion:
    return session.scalars(
        select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    ).one()


def test_tagged_version_is_found_and_missing_ones_are_named(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    tagged = version_of(session, datasets[0])
    session.add(DatasetTag(dataset_id=datasets[0].id, name="prod", version_id=tagged.id))
    session.commit()
    here, elsewhere = make_context(session, project), make_context(session, make_project(session))
    uuid = datasets[0].uuid
    assert queries.pin_version(session, here, uuid, "@prod")[1].id == tagged.id
    for context, dataset, label, noun in (
        (here, uuid, "v2", "dataset version"),
        (here, uuid4(), None, "dataset"),
        (elsewhere, uuid, None, "dataset"),
    ):
        with pytest.raises(NotFound) as refused:
            queries.pin_version(session, context, dataset, label)
        assert refused.value.params["resource"] == noun


def test_current_version_is_read_from_the_database(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context, dataset = make_context(session, project), datasets[0]
    first = version_of(session, dataset)
    assert dataset.version == "v1"  # the session keeps this outdated value
    with transaction() as other:
        other.add(DatasetVersion(dataset_id=dataset.id, version="v2", file_hash=first.file_hash))
        other.get_one(Dataset, dataset.id).version = "v2"
    assert queries.pin_version(session, context, dataset.uuid, None)[1].version == "v2"


def test_current_version_need_not_be_the_newest(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context, dataset = make_context(session, project), datasets[0]
    session.add(DatasetVersion(dataset_id=dataset.id, version="v2"))  # on a branch
    session.commit()
    found = [queries.pin_version(session, context, dataset.uuid, label) for label in (None, "v2")]
    assert [version.version for _, version in found] == ["v1", "v2"]


def test_pinned_datasets_are_locked_until_the_commit(
    session: Session, project: Project, datasets: list[Dataset]
) -> None:
    context = make_context(session, project)

    def lock() -> None:
        with transaction() as deleting:
            deleting.execute(
                select(Dataset.id).where(Dataset.id == datasets[2].id).with_for_update(nowait=True)
            )

    lock()
    queries.pin_version(session, context, datasets[2].uuid, None)
    with pytest.raises(OperationalError, match="could not obtain lock"):
        lock()
    session.commit()
    lock()


def test_batch_looks_up_the_same_things_once(
    mine: Api, project: Project, datasets: list[Dataset], sent: list[tuple[str, bool]]
) -> None:
    spec = {"type": "data_quality", "dataset": {"dataset": str(datasets[0].uuid)}}
    body = {"tasks": [{"name": "one of many", "spec": spec}] * 20}
    sent.clear()
    answer = mine.post(f"projects/{project.uuid}/tasks/batch", json=body)
    assert answer.status_code == 202, answer.text
    for table in ("FROM datasets ", "FROM dataset_gates ", "EXISTS ( SELECT FROM workers "):
        assert len([words for words, _ in sent if table in words]) == 1, table


def test_task_that_waits_for_others_locks_tasks_before_datasets(
    session: Session,
    mine: Api,
    project: Project,
    datasets: list[Dataset],
    sent: list[tuple[str, bool]],
) -> None:
    """Check that a submission locks tasks before datasets, in the same order as a task's end."""
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
        queries.pin_version(session, make_context(session, project), dataset.uuid, "v9")
    assert refused.value.text("en") == f"{dataset.name} has no version v9. There are: @prod, v1."
    assert refused.value.text("zh") == f"数据集 {dataset.name} 没有版本 v9。现有：@prod, v1。"
    with pytest.raises(NoSuchVersion, match="has no version @tset"):
        queries.pin_version(session, make_context(session, project), dataset.uuid, "@tset")
