"""Tests of the dataset versions with which a new quality report compares a version."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.references import DatasetRef
from aiplatform.server.core.database import commit
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.service.quality import MAX_COMPARED, compare_with_held_out
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.conftest import Api
from tests.factories import make_context
from tests.server.datasets.conftest import jsonl

pytestmark = pytest.mark.usefixtures("app")
Stored = Callable[..., Dataset]
ROWS = [{"text": f"A text about the number {n}."} for n in range(6)]


@pytest.fixture
def gated(mine: Api, project: Project, stored: Stored) -> Dataset:
    """Create evaluation data that the project's quality gate names without a version."""
    held = stored(jsonl(ROWS[:1]))
    gate = {"evaluation": [{"dataset": str(held.uuid)}]}
    assert mine.put(f"projects/{project.uuid}/dataset-gate", json=gate).status_code == 200
    return held


def add_version(mine: Api, dataset: Dataset, rows: int) -> None:
    answer = mine.post(
        f"datasets/{dataset.uuid}/versions?filename=a.jsonl", content=jsonl(ROWS[:rows])
    )
    assert answer.status_code == 201, answer.text


def compared_with(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 202, answer.text
    return [(ref["dataset"], ref["version"]) for ref in answer.json()["config"]["against"]]


def test_new_version_of_the_gates_evaluation_data_replaces_the_old(
    mine: Api, stored: Stored, gated: Dataset
) -> None:
    quality = f"datasets/{stored(jsonl(ROWS)).uuid}/versions/v1/quality"
    assert compared_with(mine.post(quality)) == [(str(gated.uuid), "v1")]
    add_version(mine, gated, 2)
    assert compared_with(mine.post(quality)) == [(str(gated.uuid), "v2")]


def test_report_compares_with_the_newest_version_of_each_dataset(
    mine: Api, stored: Stored, gated: Dataset
) -> None:
    """Check also the order: first the gate's data, then other data in the order of the request."""
    other = stored(jsonl(ROWS[:1]))
    add_version(mine, other, 2)
    quality = f"datasets/{stored(jsonl(ROWS)).uuid}/versions/v1/quality"
    both = [{"dataset": str(other.uuid), "version": label} for label in ("v1", "v2")]
    first = compared_with(mine.post(quality, json={"against": both}))
    assert first == [(str(gated.uuid), "v1"), (str(other.uuid), "v1"), (str(other.uuid), "v2")]
    assert compared_with(mine.post(quality)) == [(str(gated.uuid), "v1"), (str(other.uuid), "v2")]


def test_held_out_data_is_compared_even_if_the_list_is_full(
    session: Session, project: Project, mine: Api, stored: Stored, gated: Dataset
) -> None:
    dataset = stored(jsonl(ROWS))
    many = [stored(jsonl(ROWS[:1]), name=f"held {n}") for n in range(MAX_COMPARED)]
    against = [{"dataset": str(each.uuid)} for each in many]
    quality = f"datasets/{dataset.uuid}/versions/v1/quality"
    full = compared_with(mine.post(quality, json={"against": against}))
    assert full == [(str(gated.uuid), "v1"), *((str(each.uuid), "v1") for each in many[1:])]

    for held in (stored(jsonl(ROWS[:2])), many[-1]):
        add_version(mine, held, 3)
        context = make_context(session, project)
        ref = DatasetRef(dataset=dataset.uuid, version="v1")
        compare_with_held_out(
            session, context, ref, DatasetRef(dataset=held.uuid), base_model=None, max_length=64
        )
        commit(session)
        spec = session.scalars(select(Task.config).order_by(Task.id.desc()).limit(1)).one()
        found = [(each["dataset"], each["version"]) for each in spec["against"]]
        assert len(found) == MAX_COMPARED
        assert found[0] == (str(gated.uuid), "v1")
        assert found[-1] == (str(held.uuid), "v2")
        assert [uuid for uuid, _ in found].count(str(held.uuid)) == 1
