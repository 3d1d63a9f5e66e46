"""Tests of browsing the rows of a version: pages, search, samples, differences and CSV export."""

import csv
import io
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from aiplatform.server.core.settings import get_settings
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.service import content
from tests.conftest import Api
from tests.server.datasets.conftest import jsonl
from tests.server.datasets.test_derived_versions import DatasetClient

Rows = list[dict[str, Any]]
ROWS: Rows = [{"id": n, "text": f"Text {n}", "score": n / 10} for n in range(100)]

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def data(stored: Callable[..., Dataset], mine: Api) -> DatasetClient:
    return DatasetClient(mine, stored(jsonl(ROWS)).uuid)


def browse(data: DatasetClient, **params: Any) -> Any:
    return data.api.get(f"{data.path}/versions/v1/rows", params=params)


class TestRows:
    def test_rows_from_an_offset_continue_at_the_cursor(self, data: DatasetClient) -> None:
        page = browse(data, offset=40, limit=3).json()
        assert page["places"] == [40, 41, 42]
        assert page["items"] == ROWS[40:43]
        page = browse(data, limit=3, cursor=page["next_cursor"]).json()
        assert page["places"] == [43, 44, 45]

    def test_search_in_pages_finds_all_rows(self, data: DatasetClient) -> None:
        seen, cursor = [], None
        while True:
            params = {"search": "TEXT 1", "limit": 4, **({"cursor": cursor} if cursor else {})}
            page = browse(data, **params).json()
            seen += page["places"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [1, *range(10, 20)]

    def test_rows_must_meet_all_conditions(self, data: DatasetClient) -> None:
        where = [json.dumps({"column": "score", "op": ">=", "value": 9.5}),
                 json.dumps({"column": "text", "op": "contains", "value": "7"})]  # fmt: skip
        assert browse(data, where=where).json()["places"] == [97]

    @pytest.mark.parametrize(
        ("where", "code"),
        [
            ("{", "dataset.invalid_condition"),
            ('{"column": "x"}', "dataset.invalid_condition"),
            ('{"column": "x", "op": "runs", "value": 1}', "dataset.invalid_condition"),
            ('{"column": "x", "op": "==", "value": 1}', "dataset.malformed"),
            ('{"column": "id", "op": "==", "value": "1"}', "dataset.malformed"),
        ],
    )
    def test_invalid_condition_is_refused(self, data: DatasetClient, where: str, code: str) -> None:
        answer = browse(data, where=where)
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    @pytest.mark.parametrize(
        ("where", "places"),
        [
            (['score >= 9.5 and text contains "7"'], [97]),
            (["score >= 9.5", 'text contains "7"'], [97]),
            (["id in (3, 5) or id = 7"], [3, 5, 7]),
            (["not id > 1"], [0, 1]),
        ],
    )
    def test_filter_selects_rows(
        self, data: DatasetClient, where: list[str], places: list[int]
    ) -> None:
        assert browse(data, where=where).json()["places"] == places

    @pytest.mark.parametrize(
        ("where", "code", "position"),
        [
            ("score >> 6", "request.invalid_filter", 8),
            ("score", "request.invalid_filter", 6),
            ("score = high", "request.invalid_filter", 9),
            ("nothing > 1", "dataset.malformed", None),
            ('id > "x"', "dataset.malformed", None),
            ('text has "x"', "dataset.malformed", None),
        ],
    )
    def test_invalid_filter_is_refused(
        self, data: DatasetClient, where: str, code: str, position: int | None
    ) -> None:
        answer = browse(data, where=where)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        if position is not None:
            assert f"(at character {position})" in answer.json()["detail"]

    def test_sample_with_same_seed_is_the_same(self, data: DatasetClient) -> None:
        drawn = browse(data, sample=10, seed=1).json()
        assert len(drawn["items"]) == 10
        assert drawn["items"] == [ROWS[place] for place in drawn["places"]]
        assert drawn["next_cursor"] is None
        assert browse(data, sample=10, seed=1).json() == drawn
        assert browse(data, sample=10, seed=2).json() != drawn
        assert browse(data, sample=150).json()["items"] == ROWS

    def test_search_with_long_rows_skips_none_between_pages(
        self, data: DatasetClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(content, "PAGE_BYTES", 100)
        page = browse(data, search="text").json()
        assert 0 < len(page["items"]) < 10
        following = browse(data, search="text", cursor=page["next_cursor"]).json()
        assert following["places"][0] == page["places"][-1] + 1


class TestDiff:
    def test_diff_by_key_shows_cells_rows_and_columns(self, data: DatasetClient) -> None:
        data.upload([{"id": 3, "text": "three", "score": 0.3}], mode="upsert", key="id")
        data.upload([{"id": 5}], mode="delete", key="id")
        data.upload([{"id": 100, "text": "new", "score": 1, "more": True}], mode="append")
        answer = data.api.get(f"{data.path}/diff", params={"before": "v1", "key": "id"})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["before"], found["after"]) == ("v1", "v4")
        summary = found["summary"]
        assert {k: summary[k] for k in ("added", "removed", "changed", "unchanged")} == {
            "added": 1, "removed": 1, "changed": 1, "unchanged": 98,
        }  # fmt: skip
        assert summary["columns"]["added"] == [{"name": "more", "type": "boolean"}]
        assert found["items"][0]["cells"] == {"text": {"before": "Text 3", "after": "three"}}
        assert found["items"][1]["row"] == ROWS[5]
        kinds = {"before": "v1", "after": "v4", "key": "id", "kind": ["added"]}
        only = data.api.get(f"{data.path}/diff", params=kinds).json()
        assert [item["after"] for item in only["items"]] == [99]

    def test_diff_by_content_in_pages_shows_all_rows(self, data: DatasetClient) -> None:
        data.upload(ROWS[:90])
        params: dict[str, Any] = {"before": "v1", "after": "v2", "limit": 4}
        seen = []
        while True:
            page = data.api.get(f"{data.path}/diff", params=params).json()
            seen += [item["before"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert seen == list(range(90, 100))
        indexes = list(get_settings().spool_dir.glob("diff-*"))
        assert len([index for index in indexes if index.suffix != ".parquet"]) == 0

    @pytest.mark.parametrize(
        ("params", "status"),
        [
            ({"before": "v9"}, 404),
            ({"before": "@none"}, 404),
            ({"before": "v1", "key": "no"}, 422),
            ({}, 422),
            ({"before": "v1", "kind": "moved"}, 422),
        ],
    )
    def test_diff_with_invalid_parameters_is_refused(
        self, data: DatasetClient, params: Any, status: int
    ) -> None:
        assert data.api.get(f"{data.path}/diff", params=params).status_code == status


class TestCsv:
    def test_csv_export_escapes_formulas(self, stored: Callable[..., Dataset], mine: Api) -> None:
        rows: Rows = [
            {"text": "=cmd|' /C calc'!A0", "n": -5, "deep": {"a": 1}, "@x": True},
            {"text": "-1+2", "n": 2.5, "deep": None, "@x": False},
            {"text": 'a "quoted", line\nbreak', "n": None, "deep": [1], "@x": None},
            {"text": "你好", "n": 0, "deep": "=1", "@x": None},
        ]
        uuid = stored(jsonl(rows)).uuid
        answer = mine.get(f"datasets/{uuid}/versions/v1/content?format=csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert ".csv" in answer.headers["content-disposition"]
        lines = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
        assert lines == [
            ["text", "n", "deep", "'@x"],
            ["'=cmd|' /C calc'!A0", "-5.0", '{"a":1}', "true"],
            ["'-1+2", "2.5", "", "false"],
            ['a "quoted", line\nbreak', "", "[1]", ""],
            ["你好", "0.0", "'=1", ""],
        ]


def test_footer_of_a_version_is_read_once(
    data: DatasetClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = content.pq.read_metadata
    monkeypatch.setattr(content, "_footers", OrderedDict())
    monkeypatch.setattr(content.pq, "read_metadata", lambda file: read.append(1) or real(file))
    for wanted in ({"offset": 40}, {"sample": 3}, {"search": "text 7"}, {"offset": 2}):
        assert browse(data, **wanted).status_code == 200
    assert len(read) == 1
