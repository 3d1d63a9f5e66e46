"""Tests of browsing the rows of a finding in a quality report, and of previewing fixes."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.server.datasets.models import DatasetVersion, QualityReport
from aiplatform.server.datasets.service import indexes
from tests.conftest import Api
from tests.server.datasets.conftest import jsonl

ROWS = [
    {"id": n, "text": "the same" if n % 100 == 7 else "" if n % 100 == 9 else f"row {n} " + "x" * n}
    for n in range(400)
]
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
ROWS[20]["text"], ROWS[120]["text"] = f"{LONG} fifteen", f"{LONG} sixteen"


COUNTED = {"findings": [{"code": "boilerplate", "count": 9}, {"code": "empty", "count": 4}]}


def give_report(session: Session) -> None:
    """Store a quality report for the most recently uploaded dataset."""
    version = session.scalar(select(func.max(DatasetVersion.id)))
    session.add(QualityReport(version_id=version, report=COUNTED))
    session.commit()


@pytest.fixture
def browse(upload: Callable[..., Any], mine: Api) -> Callable[..., Any]:
    """Return a function that requests the rows of a finding."""
    uuid = upload(jsonl(ROWS)).json()["uuid"]

    def browse(finding: str, **params: Any) -> Any:
        return mine.get(f"datasets/{uuid}/versions/v1/findings/{finding}/rows", params=params)

    return browse


def test_rows_of_a_finding_are_read_from_a_cached_index(
    browse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = browse("empty").json()
    assert empty["places"] == [9, 109, 209, 309]
    assert [row["id"] for row in empty["items"]] == empty["places"]

    async def no_more(*_: Any) -> Any:
        raise AssertionError("the index is there")

    monkeypatch.setattr(indexes, "run_row_program", no_more)
    first = browse("empty", limit=3).json()
    assert first["places"] == [9, 109, 209]
    assert browse("empty", limit=3, cursor=first["next_cursor"]).json()["places"] == [309]
    where = '{"column": "id", "op": "<", "value": 200}'
    assert browse("empty", where=where).json()["places"] == [9, 109]
    assert browse("refusals").json()["items"] == []


def test_near_duplicates_are_found_on_request(browse: Callable[..., Any]) -> None:
    near = browse("near_duplicates")
    assert near.status_code == 200
    assert near.json()["places"] == [120]
    assert [row["id"] for row in near.json()["items"]] == [120]
    assert browse("Nonsense!").status_code == 422


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        ("over_length", "tokenizer"),
        ("template_refuses", "template_refuses=drop"),
        ("leakage_near", "compared with"),
        ("contamination", "contamination=drop"),
        ("boilerplate", "only counts them"),
    ],
)
def test_finding_whose_rows_are_unknown_is_refused_with_reason(
    session: Session, browse: Callable[..., Any], finding: str, says: str
) -> None:
    give_report(session)
    answer = browse(finding)
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset.finding_without_rows")
    assert says in answer.json()["detail"]


def test_unknown_finding_is_not_found(session: Session, browse: Callable[..., Any]) -> None:
    unknown = browse("emtpy")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset.no_such_finding")
    give_report(session)
    unknown = browse("emtpy")
    assert unknown.status_code == 404
    assert "Did you mean empty" in unknown.json()["detail"]
    assert browse("refusals").json()["items"] == []


def test_sample_of_a_finding_depends_on_the_seed(browse: Callable[..., Any]) -> None:
    drawn = [browse("empty", sample=2, seed=seed).json()["places"] for seed in range(8)]
    assert browse("empty", sample=2, seed=3).json()["places"] == drawn[3]
    assert all(len(places) == 2 and set(places) < {9, 109, 209, 309} for places in drawn)
    assert len(set(map(tuple, drawn))) > 1
    assert browse("empty", sample=200).json()["places"] == [9, 109, 209, 309]
    assert browse("refusals", sample=2).json()["places"] == []


class TestPreview:
    @pytest.fixture
    def show(self, upload: Callable[..., Any], mine: Api) -> Callable[..., Any]:
        """Return a function that requests the preview of a fix."""
        rows = [{"text": f"write to ann{n}@nordwind.de"} for n in range(3)]
        rows += [{"text": "the same"}, {"text": "the same"}]
        uuid = upload(jsonl(rows)).json()["uuid"]

        def show(finding: str, **params: Any) -> Any:
            path = f"datasets/{uuid}/versions/v1/findings/{finding}/preview"
            return mine.get(path, params=params)

        return show

    def test_masking_shows_texts_before_and_after(self, show: Callable[..., Any]) -> None:
        found = show("personal_email", action="mask", limit=2).json()
        assert found["count"] == 3
        assert [item["row"] for item in found["items"]] == [0, 1]
        for item in found["items"]:
            assert "@nordwind.de" in item["before"]["text"]
            assert "@nordwind.de" not in item["after"]["text"]

    def test_rows_that_go_have_no_after(self, show: Callable[..., Any]) -> None:
        found = show("duplicates", action="deduplicate").json()
        assert found == {
            "count": 1,
            "items": [{"row": 4, "before": {"text": "the same"}, "after": None}],
        }

    def test_fix_that_the_finding_does_not_have_is_refused(self, show: Callable[..., Any]) -> None:
        assert show("duplicates", action="mask").status_code == 422
        assert show("over_length", action="trim").status_code == 422
