"""Tests that per-row data on disk gives the same results as in memory."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.data.quality import clusters as clusters_module
from aiplatform.data.quality import disk_buckets, near_duplicates, repeated_answers
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.clusters import Clusters, ShingleFile, similarity
from aiplatform.data.quality.disk_buckets import Buckets, RowSet
from aiplatform.data.quality.duplicates import Copies, row_digests
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.data.quality.repeated_answers import RepeatedAnswers, plain_of
from aiplatform.protocol.enums import DataShape
from tests.data.quality.conftest import Report


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that a few hundred rows need as many buckets as millions would."""
    for module in (disk_buckets, clusters_module, repeated_answers):
        monkeypatch.setattr(module, "BUCKET_RECORDS", 32)
    monkeypatch.setattr(disk_buckets, "MOST_RECORDS", 64)
    monkeypatch.setattr(disk_buckets, "FLUSHED_RECORDS", 16)
    monkeypatch.setattr(disk_buckets, "KEPT_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(near_duplicates, "PAIRS", 8)
    monkeypatch.setattr(clusters_module, "COMPARED_SHINGLES", 100)


@pytest.mark.usefixtures("small")
def test_buckets_return_equal_keys_together_in_order() -> None:
    rng = np.random.default_rng(1)
    keys = rng.choice(rng.integers(0, 1 << 64, 200, dtype=np.uint64), 1000)
    buckets = Buckets(1000, [("key", "<u8"), ("row", "<u4")])
    for start in range(0, 1000, 7):
        some = slice(start, min(start + 7, 1000))
        buckets.add(buckets.records(key=keys[some], row=np.arange(1000)[some]))
    met: dict[int, list[int]] = {}
    seen: list[set[int]] = []
    for records in buckets.whole():
        seen.append(set(records["key"].tolist()))
        for key, row in records.tolist():
            met.setdefault(key, []).append(row)
    assert len(seen) > 8
    assert sum(map(len, seen)) == len(met) == len(set(keys.tolist()))
    for key, rows in met.items():
        assert rows == np.flatnonzero(keys == key).tolist()


@given(st.lists(st.lists(st.integers(0, 99))))
def test_row_set_contains_the_added_rows(parts: list[list[int]]) -> None:
    rows, plain = RowSet(100), set()
    for part in parts:
        rows.add(np.array(part, np.int64))
        plain |= set(part)
    assert len(rows) == len(plain)
    assert rows.rows().tolist() == sorted(plain)
    assert rows.has(np.arange(100)).tolist() == [n in plain for n in range(100)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kinds", [1, 3, 40, 5000])
def test_copies_finds_repeated_rows(kinds: int) -> None:
    rng = random.Random(kinds)
    texts = [f"text {rng.randrange(kinds)}" for _ in range(1000)]
    firsts: dict[str, int] = {}
    copies = Copies(1000)
    for start in range(0, 1000, 50):
        batch = pa.record_batch({"text": texts[start : start + 50]})
        copies.add(row_digests(batch, ["text"]), start)
    expected = [
        (row, firsts[text]) for row, text in enumerate(texts) if firsts.setdefault(text, row) != row
    ]
    assert copies.close() == expected[:5]
    assert copies.rows.rows().tolist() == [row for row, _ in expected]


@pytest.mark.usefixtures("small")
def test_clusters_join_rows_like_a_plain_union_find() -> None:
    rng = random.Random(8)
    pairs = [(rng.randrange(500), rng.randrange(500)) for _ in range(200)]
    clusters = Clusters(500)
    plain = list(range(500))
    for left, right in pairs:
        clusters.join(left, right)
        low, high = sorted((plain[left], plain[right]))
        plain = [low if root == high else root for root in plain]
    others = [(row, root) for row, root in enumerate(plain) if row != root]
    found = [pair for rows, roots in clusters.others() for pair in zip(rows, roots, strict=True)]
    assert found == others
    assert clusters.count == len(others)
    sizes = {root: plain.count(root) for _, root in others}
    largest = sorted(sizes, key=lambda root: (-sizes[root], root))
    assert clusters.groups(7) == (len(sizes), largest[:7])


@pytest.mark.usefixtures("small")
def test_similarities_of_many_pairs_equal_those_of_single_pairs() -> None:
    rng = np.random.default_rng(2)
    rows = [np.unique(rng.integers(0, 90, rng.integers(0, 150), np.uint32)) for _ in range(60)]
    file = ShingleFile()
    for start in range(0, 60, 13):
        part = rows[start : start + 13]
        bounds = np.cumsum([0, *map(len, part)])
        file.add(np.concatenate(part), bounds)
    file.open()
    lefts, rights = rng.integers(0, 60, (2, 300))
    together = [len(rows[n]) + len(rows[m]) > 0 for n, m in zip(lefts, rights, strict=True)]
    found = file.similarities(lefts, rights)
    for left, right, value, some in zip(lefts, rights, found, together, strict=True):
        assert value == (similarity(rows[left], rows[right]) if some else 0)


def alike_texts(count: int) -> list[str]:
    rng = random.Random(6)
    known = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(300)]
    kept = [rng.choices(known, k=30) for _ in range(20)]
    made = []
    for number in range(count):
        words = list(kept[number % 20]) if number % 3 else rng.choices(known, k=30)
        if number % 5:
            words[rng.randrange(30)] = rng.choice(known)
        made.append(" ".join(words))
    return made


def found_by(check: NearDuplicates | RepeatedAnswers, texts: pa.RecordBatch) -> Any:
    for start in range(0, texts.num_rows, 40):
        check.look(texts.slice(start, 40), start)
    return [(f.count, f.rows.tolist(), f.examples, f.groups, f.message) for f in check.findings()]


@pytest.fixture
def both_sizes(request: pytest.FixtureRequest) -> Any:
    def both(make: Any) -> tuple[Any, Any]:
        ordinary = make()
        request.getfixturevalue("small")
        return ordinary, make()

    return both


def test_near_duplicates_do_not_depend_on_bucket_size(both_sizes: Any) -> None:
    batch = pa.record_batch({"text": alike_texts(900)})
    context = Context(DataShape.TEXT, batch.schema, 900)
    ordinary, small = both_sizes(lambda: found_by(NearDuplicates(context), batch))
    assert ordinary[0][0] > 300
    assert small == ordinary


def test_near_duplicates_in_an_overfull_bucket_are_found(both_sizes: Any) -> None:
    texts = [" ".join([*map(str, range(1000, 1040)), f"number{n}"]) for n in range(500)]
    batch = pa.record_batch({"text": texts})
    context = Context(DataShape.TEXT, batch.schema, 500)
    ordinary, small = both_sizes(lambda: found_by(NearDuplicates(context), batch))
    assert ordinary[0][0] == 499
    assert small == ordinary


def test_repeated_answers_do_not_depend_on_bucket_size(both_sizes: Any) -> None:
    rng = random.Random(3)
    rows = [(f"q {n}", f"a {rng.randrange(12)}" if n % 3 else f"b {n}") for n in range(600)]
    rows += [rows[1]] * 30
    prompts, answers = zip(*rows, strict=True)
    batch = pa.record_batch({"prompt": prompts, "completion": answers})
    context = Context(DataShape.PROMPT_COMPLETION, batch.schema, len(rows))
    ordinary, small = both_sizes(lambda: found_by(RepeatedAnswers(context), batch))
    often = {a for a in answers if len({p for p, b in rows if b == a}) >= 10}
    assert ordinary[0][1] == [row for row, answer in enumerate(answers) if answer in often]
    assert small == ordinary


@given(st.text(st.sampled_from(" \n\taAZß.\x1cé\u3000")))
def test_plain_of_ignores_case_and_white_space(text: str) -> None:
    assert plain_of(text) == " ".join(text.split()).casefold()


def test_report_keeps_no_row_numbers(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    as_dict = near_duplicates.Finding.as_dict

    def spy(finding: Any, rows: int) -> Any:
        kept.append(len(finding.rows))
        return as_dict(finding, rows)

    monkeypatch.setattr(near_duplicates.Finding, "as_dict", spy)
    report([{"text": text} for text in [*alike_texts(200), "", " x ", *alike_texts(40)]])
    assert len(kept) > 3
    assert not any(kept)
