"""Tests of row group pruning: groups without matches are not read, and no match is missed."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from aiplatform.data.conditions import matching
from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import ingest
from aiplatform.data.row_access import search
from aiplatform.protocol.rows import Condition

ROWS = 6000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a file of six row groups of a thousand rows each."""
    directory = tmp_path_factory.mktemp("pruning")
    with (directory / "rows.jsonl").open("w") as file:
        for n in range(ROWS):
            fraction = None if n < 3000 else float("nan") if n % 2 else n / 2
            row = {"m": [{"role": "user", "content": "q"}], "n": n, "t": f"{n:05}",
                   "f": fraction, "late": n >= 4000}  # fmt: skip
            file.write(json.dumps(row) + "\n")
    ingest(directory / "rows.jsonl", directory / "whole", filename="rows.jsonl")
    pq.write_table(pq.read_table(directory / "whole"), directory / "groups", row_group_size=1000)
    return directory / "groups"


@pytest.mark.parametrize(
    ("where", "groups"),
    [
        ([("n", "==", 5000)], 1),
        ([("n", ">", 5998)], 1),
        ([("n", "<=", 1)], 1),
        ([("n", "in", [1, 5999])], 2),
        ([("t", "<", "00001")], 1),
        ([("f", "present", None)], 3),
        ([("f", "missing", None)], 3),
        ([("f", ">", 2998)], 1),
        ([("late", "==", True)], 2),
        ([("n", "!=", 3)], 6),
        ([("m", "contains", "Q")], 6),
        ([("n", ">", 9999)], 0),
        ([("n", ">=", 5000), ("f", "missing", None)], 0),
    ],
)
def test_search_reads_only_row_groups_that_may_match(
    path: Path, where: list[Any], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[int] = set()
    original = pq.ParquetFile.read_row_group

    def seen(file: Any, group: int, **options: Any) -> Any:
        read.add(group)
        return original(file, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", seen)
    conditions = [Condition(column=c, op=op, value=value) for c, op, value in where]
    found = search(path, 0, ROWS, where=conditions, seconds=60)
    everything = pq.read_table(path).combine_chunks().to_batches()[0]
    met = matching(everything, conditions).to_pylist()
    assert found.positions == [position for position, hit in enumerate(met) if hit]
    assert [row["n"] for row in found.rows] == found.positions
    assert len(read) == groups


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f = nan", "odd"),
        ("f in (nan, 2998)", "odd 5996"),
        ("f != nan", "even"),
        ("f < nan", ""),
        ("f <= nan", ""),
        ("f > nan", ""),
        ("f >= nan", ""),
        ("f > 2998.5", "5998"),
        ("n < nan or n > nan", ""),
        ("not f > nan", "all"),
    ],
)
def test_nan_equals_itself_and_has_no_order(path: Path, text: str, expected: str) -> None:
    """Check NaN in row filters, which follow the same rules as filters for runs."""
    sets = {"odd": set(range(3001, ROWS, 2)), "even": set(range(3000, ROWS, 2)),
            "all": set(range(ROWS))}  # fmt: skip
    wanted: set[int] = set()
    for word in expected.split():
        wanted |= sets[word] if word in sets else {int(word)}
    everything = pq.read_table(path).combine_chunks().to_batches()[0]
    met = matching(everything, [text]).to_pylist()
    assert {position for position, hit in enumerate(met) if hit} == wanted
    assert search(path, 0, ROWS, where=[text], seconds=60).positions == sorted(wanted)


def test_search_invalid_condition_is_refused_even_if_nothing_is_read(path: Path) -> None:
    where = [Condition(column="n", op=">", value=9999), Condition(column="no", op="==")]
    with pytest.raises(MalformedData, match="no column"):
        search(path, 0, 5, where=where, seconds=9)
