"""Tests of import requests that are rejected before anything is fetched."""

from collections.abc import Callable
from typing import Any

import pytest

from aiplatform.server.projects.models import Project
from tests.conftest import Api

Ask = Callable[..., Any]
StoredState = Callable[[], dict[str, Any]]


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "url", "url": "http://127.0.0.1/rows.jsonl"},
        {"kind": "url", "url": "http://169.254.169.254/latest/"},
        {"kind": "url", "url": "http://user:password@example.com/"},
        {"kind": "url", "url": "http://example.com:22/"},
        {"kind": "s3", "uri": "s3://bucket/key", "endpoint": "http://10.0.0.1:9000"},
    ],
)
def test_import_from_address_that_is_not_allowed_is_refused(
    ask: Ask, source: dict[str, Any], stored_state: StoredState
) -> None:
    before = stored_state()
    answer = ask(source)
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset.import_refused")
    assert stored_state() == before


def test_import_under_taken_name_is_refused(ask: Ask, upload: Callable[..., Any]) -> None:
    assert upload(name="taken").status_code == 201
    answer = ask({"kind": "url", "url": "https://example.com/x"}, name="taken")
    assert (answer.status_code, answer.json()["code"]) == (409, "resource.name_taken")


@pytest.mark.parametrize("body", [{"name": None}, {"dataset": None}])
def test_import_without_exactly_one_target_is_refused(ask: Ask, body: dict[str, Any]) -> None:
    answer = ask({"kind": "url", "url": "https://example.com/x"}, **body)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"name": "new", "mode": "append"},
        {"mode": "upsert"},
        {"mode": "append", "key": "id"},
        {"mode": "move"},
    ],
)
def test_import_with_invalid_mode_is_refused(
    ask: Ask, dataset: dict[str, Any], body: dict[str, Any]
) -> None:
    place = {} if "name" in body else {"dataset": dataset["uuid"]}
    answer = ask({"kind": "url", "url": "https://example.com/x"}, **place, **body)
    assert answer.status_code == 422


def test_import_with_unknown_parent_is_not_found(ask: Ask, dataset: dict[str, Any]) -> None:
    source = {"kind": "url", "url": "https://example.com/x"}
    answer = ask(source, dataset=dataset["uuid"], mode="append", parent="v7")
    assert answer.status_code == 404


def test_import_with_unknown_secret_is_refused(ask: Ask) -> None:
    answer = ask({"kind": "url", "url": "https://example.com/x"}, secrets={"HTTP_TOKEN": "no"})
    assert answer.status_code in {404, 422}


def test_import_submitted_as_plain_task_is_refused(mine: Api, project: Project) -> None:
    spec = {"type": "dataset_import", "source": {"kind": "url", "url": "https://example.com/x"}}
    answer = mine.post(f"projects/{project.uuid}/tasks", json={"name": "x", "spec": spec})
    assert answer.json()["code"] != "request.invalid", answer.text
    assert answer.status_code in {409, 422}
