"""Tests of ``aiplatform datasets rows`` and ``rename``."""

import json
import sys

import pytest

from tests.cli.conftest import DATASET, D, Run
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

ROWS = [{"text": "一"}, {"text": "two"}]


@pytest.fixture
def filled(world: FakeServer) -> FakeServer:
    found = Partial({"items": ROWS, "places": [7, 4100], "next_cursor": None})
    world.on(f"GET datasets/{D}/versions/v1/rows", answer(found))
    world.on(f"GET datasets/{D}/versions/v1/findings/empty/rows", answer(found))
    return world


def lines(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_prints_one_json_object_per_line(filled: FakeServer, run: Run) -> None:
    assert lines(run("datasets", "rows", "faq").out) == ROWS
    assert json.loads(run("datasets", "rows", "faq", "--json").out) == ROWS


@pytest.mark.parametrize("of", [(), ("--search", "t"), ("--sample", "2"), ("--finding", "empty")])
def test_rows_with_places_prints_places(filled: FakeServer, run: Run, of: tuple[str, ...]) -> None:
    placed = [{"place": 7, "row": ROWS[0]}, {"place": 4100, "row": ROWS[1]}]
    assert lines(run("datasets", "rows", "faq", *of, "--places").out) == placed
    assert json.loads(run("datasets", "rows", "faq", *of, "--places", "--json").out) == placed


def test_rows_in_a_terminal_show_the_place_of_each_row(
    filled: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("datasets", "rows", "faq").out.splitlines() == [
        '   7  {"text": "一"}',
        '4100  {"text": "two"}',
    ]


def test_rename_changes_the_name_of_a_dataset(world: FakeServer, run: Run) -> None:
    world.on(f"GET datasets/{D}", answer(DATASET, ETag='"1"'))
    world.on(f"PATCH datasets/{D}", answer(DATASET | {"name": "chats"}))
    ran = run("datasets", "rename", "faq", "chats")
    assert ran.code == 0, ran.err
    assert json.loads(world.bodies[-1]) == {"name": "chats"}
    assert world.requests[-1].headers["if-match"] == '"1"'
    assert "faq is now chats." in ran.err
    assert run("datasets", "rename", "faq@v1", "chats").code == 2
