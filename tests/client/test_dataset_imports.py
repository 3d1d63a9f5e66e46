"""Tests of ``client.datasets.import_url``, ``import_s3`` and ``import_hub``."""

import json
from typing import Any
from uuid import UUID

import pytest

from aiplatform.client import Client
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

P, D, T = (UUID(int=n) for n in (1, 2, 3))
TASK = Partial({"uuid": str(T), "name": "import", "type": "dataset_import", "status": "pending"})


@pytest.fixture
def asked(client: Client, server: FakeServer) -> Any:
    """Return a function that calls an import method and returns the body of its request."""
    server.on(f"POST projects/{P}/dataset-imports", answer(TASK, 202))

    def asked(how: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        task = getattr(client.datasets, how)(*arguments, project=P, **options)
        assert task.uuid == T
        body: dict[str, Any] = json.loads(server.bodies[-1])
        return body

    return asked


def test_import_sends_its_source(asked: Any) -> None:
    body = asked("import_url", "https://example.com/a.jsonl", name="new")
    assert body["source"] == {"kind": "url", "url": "https://example.com/a.jsonl"}
    assert (body["name"], body["dataset"], body["mode"]) == ("new", None, "replace")
    body = asked("import_s3", "s3://bucket/key", name="new", region="eu-1", secrets={"A": "b"})
    assert body["source"] == {"kind": "s3", "uri": "s3://bucket/key", "region": "eu-1"}
    assert body["secrets"] == {"A": "b"}
    body = asked("import_hub", "owner/name", name="new", split="train", revision="main")
    assert body["source"] == {
        "kind": "hub", "repository": "owner/name", "revision": "main", "split": "train",
    }  # fmt: skip


def test_import_sends_reading_options(asked: Any) -> None:
    body = asked(
        "import_url", "https://example.com/a.csv", name="new", map={"q": "prompt"},
        bad_rows="quarantine", delimiter=";", format="csv", max_length=64, base_model=D,
    )  # fmt: skip
    assert (body["map"], body["bad_rows"], body["delimiter"]) == (
        {"q": "prompt"},
        "quarantine",
        ";",
    )
    assert (body["format"], body["max_length"], body["base_model"]) == ("csv", 64, str(D))
    with pytest.raises(TypeError, match="colour"):
        asked("import_url", "https://example.com/a.csv", name="new", colour="red")


def test_import_into_a_dataset_sends_mode_and_parent(asked: Any) -> None:
    body = asked("import_url", "https://example.com/a", dataset=D, mode="upsert", key="id")
    assert (body["name"], body["dataset"]) == (None, str(D))
    assert (body["mode"], body["key"], body["parent"]) == ("upsert", "id", None)
    body = asked("import_url", "https://example.com/a", dataset=D, mode="append", parent="v2")
    assert (body["mode"], body["key"], body["parent"]) == ("append", None, "v2")
