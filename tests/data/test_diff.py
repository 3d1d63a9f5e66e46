"""Tests of diffs between versions, and of browsing rows."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.data import diff
from aiplatform.data.diff import Job, compare
from aiplatform.data.diff_index import page, summary_of
from aiplatform.data.errors import MalformedData
from aiplatform.data.row_access import rows_at, sample_positions, search
from aiplatform.protocol.rows import Condition
from tests.data.conftest import Make, Rows, numbers


@pytest.fixture
def differ(tmp_path: Path, make: Make) -> Callable[..., Any]:
    """Return a function that compares rows and returns the summary and all entries."""

    def differ(a: Rows, b: Rows, key: str | None = None) -> tuple[dict[str, Any], Rows]:
        before, after, index = make(a), make(b), tmp_path / f"{next(numbers)}.index"
        summary = compare(Job(before=before, after=after, output=index, key=key))
        assert summary_of(index) == summary
        entries: Rows = []
        offset: int | None = 0
        while offset is not None:
            items, offset = page(index, before, after, offset=offset, limit=3)
            entries += items
        return summary, entries

    return differ


Differ = Callable[..., Any]


def applied(rows: Rows, entries: Rows) -> Rows:
    """Apply the entries of a diff to ``rows``; unchanged rows keep their order."""
    gone = {e["before"] for e in entries if e["before"] is not None}
    placed = {e["after"]: e for e in entries if e["after"] is not None}
    rest = iter([row for position, row in enumerate(rows) if position not in gone])
    made: Rows = []
    for position in range(len(rows) - len(gone) + len(placed)):
        entry = placed.get(position)
        if entry is None:
            made.append(next(rest))
        elif entry["kind"] == "added":
            made.append(entry["row"])
        else:
            row = dict(rows[entry["before"]])
            row.update({name: cell["after"] for name, cell in entry["cells"].items()})
            made.append(row)
    return made


A: Rows = [{"id": n, "text": f"t{n}", "m": {"n": n}} for n in range(6)]


class TestByKey:
    @pytest.mark.parametrize("room_for_cells", [diff.CELLS_BYTES, 0])
    def test_compare_finds_added_removed_and_changed_rows_with_cells(
        self, differ: Differ, room_for_cells: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(diff, "CELLS_BYTES", room_for_cells)
        b: Rows = [dict(row) for row in A]
        b[1]["text"] = "changed"
        b[3]["m"] = {"n": 99}
        b[3]["text"] = None
        del b[5]
        b.insert(2, {"id": 9, "text": "new", "m": None})
        summary, entries = differ(A, b, "id")
        assert {k: summary[k] for k in ("added", "removed", "changed", "unchanged")} == {
            "added": 1, "removed": 1, "changed": 2, "unchanged": 3,
        }  # fmt: skip
        assert summary["cells"] == {"text": 2, "m": 1}
        assert entries == [
            {"kind": "changed", "before": 1, "after": 1,
             "cells": {"text": {"before": "t1", "after": "changed"}}},
            {"kind": "added", "before": None, "after": 2, "row": b[2]},
            {"kind": "changed", "before": 3, "after": 4, "cells": {
                "text": {"before": "t3", "after": None},
                "m": {"before": {"n": 3}, "after": {"n": 99}}}},
            {"kind": "removed", "before": 5, "after": None, "row": A[5]},
        ]  # fmt: skip

    def test_compare_ignores_the_order_of_rows(self, differ: Differ) -> None:
        summary, entries = differ(A, A[::-1], "id")
        assert (summary["unchanged"], entries) == (6, [])

    def test_compare_finds_changed_columns(self, differ: Differ) -> None:
        b = [{"id": str(row["id"]), "text": row["text"], "new": 1} for row in A]
        summary, entries = differ(A, b, "text")
        assert summary["columns"] == {
            "added": [{"name": "new", "type": "integer"}],
            "removed": [{"name": "m", "type": "json"}],
            "changed": [{"name": "id", "before": "integer", "after": "text"}],
        }
        assert summary["changed"] == 6
        assert entries[0]["cells"]["id"] == {"before": 0, "after": "0"}

    def test_compare_pairs_repeated_and_missing_keys_in_order(self, differ: Differ) -> None:
        a: Rows = [{"id": 1, "t": "a"}, {"id": 1, "t": "b"}, {"id": None, "t": "c"}]
        b: Rows = [{"id": 1, "t": "a"}, {"id": None, "t": "d"}, {"id": 1, "t": "b"}]
        b.append({"id": 1, "t": "e"})
        summary, _ = differ(a, b, "id")
        assert (summary["added"], summary["changed"], summary["unchanged"]) == (1, 1, 2)

    def test_compare_missing_and_empty_text_differ(self, differ: Differ) -> None:
        def chat(content: str | None) -> Rows:
            call = {"role": "assistant", "content": content, "tool_calls": [1]}
            return [{"id": 1, "messages": [call]}]

        summary, _ = differ(chat(None), chat(""), "id")
        assert summary["cells"] == {"messages": 1}

    @pytest.mark.parametrize(
        ("key", "match"), [("no", "no column"), ("messages", "can't be a key")]
    )
    def test_compare_by_an_invalid_key_is_refused(
        self, differ: Differ, key: str, match: str
    ) -> None:
        rows = [{"messages": [{"role": "user", "content": "q"}]}]
        with pytest.raises(MalformedData, match=match):
            differ(rows, rows, key)


values = st.one_of(st.none(), st.integers(-3, 3), st.text("ab \n\x00", max_size=3), st.booleans())
rows = st.lists(st.fixed_dictionaries({"id": st.integers(0, 9), "x": values, "y": values}),
                min_size=1, max_size=12)  # fmt: skip
relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(a=rows, b=rows, keyed=st.booleans())
def test_diff_applied_to_the_first_version_gives_the_second(
    differ: Differ, a: Rows, b: Rows, keyed: bool
) -> None:
    _, entries = differ(a, b, "id" if keyed else None)
    made = applied(a, entries)
    texts = [Counter(json.dumps(row, sort_keys=True) for row in rows) for rows in (made, b)]
    assert texts[0] == texts[1]


@relaxed
@given(a=rows, data=st.data())
def test_diff_of_edits_in_place_keeps_the_order(
    differ: Differ, a: Rows, data: st.DataObject
) -> None:
    a = [{**row, "id": position} for position, row in enumerate(a)]
    kept = data.draw(st.lists(st.sampled_from(range(len(a))), unique=True).map(sorted))
    b = [{**a[position], "x": data.draw(values)} for position in kept]
    b.insert(data.draw(st.integers(0, len(b))), {"id": 100, "x": 1, "y": "new"})
    _, entries = differ(a, b, "id")
    assert applied(a, entries) == b


class TestBrowse:
    ROWS: Rows = [{"n": n, "text": f"row {n} " + "x" * 3000} for n in range(6000)]

    def test_rows_at_and_search_return_matching_rows(self, make: Make) -> None:
        path = make(self.ROWS)
        assert [row["n"] for row in rows_at(path, [5999, 0, 3000])] == [5999, 0, 3000]
        with pytest.raises(IndexError):
            rows_at(path, [6000])
        found = search(path, 0, 5, text="ROW 12", seconds=9)
        assert found.positions == [12, *range(120, 124)]
        assert found.following == 124
        more = search(path, 124, 500, text="row 12", seconds=9)
        assert len(found.positions) + len(more.positions) == 111
        assert more.following is None
        where = [Condition(column="n", op=">=", value=5990)]
        assert search(path, 0, 50, where=where, seconds=9).positions == list(range(5990, 6000))
        assert search(path, 0, 50, where=where, text="row 5995", seconds=9).positions == [5995]

    def test_search_out_of_time_can_be_continued(self, make: Make) -> None:
        path = make(self.ROWS)
        found = search(path, 0, 5, text="row 5999", seconds=0)
        assert found.rows == []
        assert found.following is not None
        turns = 1
        while not found.rows and found.following is not None:
            found = search(path, found.following, 5, text="row 5999", seconds=0)
            turns += 1
        assert found.positions == [5999]
        assert turns > 1

    def test_drawn_is_reproducible_and_without_repeats(self) -> None:
        assert sample_positions(10, 20, 0) == list(range(10))
        first = sample_positions(10**7, 50, 3)
        assert first == sample_positions(10**7, 50, 3)
        assert first != sample_positions(10**7, 50, 4)
        assert len(set(first)) == 50
        assert max(first) < 10**7
        assert 0.3 * 10**7 < sum(first) / 50 < 0.7 * 10**7
