"""Browsing the rows that a finding of the quality report is about."""

from collections.abc import Callable
from typing import Any

import pytest

from aiplatform.server.datasets.service import indexes
from tests.conftest import Api
from tests.server.datasets.conftest import jsonl

ROWS = [
    {"id": n, "text": "the same" if n % 100 == 7 else "" if n % 100 == 9 else f"row {n} " + "x" * n}
    for n in range(400)
]
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
ROWS[20]["text"], ROWS[120]["text"] = f"{LONG} fifteen", f"{LONG} sixteen"


@pytest.fixture
def browse(upload: Callable[..., Any], mine: Api) -> Callable[..., Any]:
    """Ask for rows of a finding."""
    uuid = upload(jsonl(ROWS)).json()["uuid"]

    def browse(finding: str, **params: Any) -> Any:
        return mine.get(f"datasets/{uuid}/versions/v1/findings/{finding}/rows", params=params)

    return browse


def test_rows_of_a_finding(browse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    empty = browse("empty").json()
    assert empty["places"] == [9, 109, 209, 309]
    assert [row["id"] for row in empty["items"]] == empty["places"]

    async def no_more(*_: Any) -> Any:
        raise AssertionError("the index is there")

    monkeypatch.setattr(indexes, "answer_of", no_more)
    first = browse("empty", limit=3).json()
    assert first["places"] == [9, 109, 209]
    assert browse("empty", limit=3, cursor=first["next_cursor"]).json()["places"] == [309]
    where = '{"column": "id", "op": "<", "value": 200}'
    assert browse("empty", where=where).json()["places"] == [9, 109]
    assert browse("refusals").json()["items"] == []


def test_near_duplicates_are_looked_for_when_asked(browse: Callable[..., Any]) -> None:
    near = browse("near_duplicates")
    assert near.status_code == 200
    assert near.json()["places"] == [120]
    assert [row["id"] for row in near.json()["items"]] == [120]
    assert browse("Nonsense!").status_code == 422
