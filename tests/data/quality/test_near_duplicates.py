"""Tests of finding near duplicates, in writing systems with and without spaces."""

import random
from typing import Any

import pyarrow as pa
import pytest

from aiplatform.data.quality.check import Context
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.data.quality.shingles import shingles_of
from aiplatform.protocol.enums import DataShape
from tests.data.quality.conftest import Report, found

HAN = [chr(c) for c in range(0x4E00, 0x5E00)]


def latin(rng: random.Random, words: int) -> list[str]:
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) + " " for _ in range(words)]


def chinese(rng: random.Random, words: int) -> list[str]:
    return ["".join(rng.choices(HAN, k=2)) for _ in range(words)]


def edited(rng: random.Random, words: list[str], share: float, write: Any) -> list[str]:
    return [write(rng, 1)[0] if rng.random() < share else word for word in words]


@pytest.mark.parametrize("write", [latin, chinese])
def test_edited_copies_are_found_and_nothing_else(report: Report, write: Any) -> None:
    rng = random.Random(7)
    originals = [write(rng, 80) for _ in range(200)]
    copies = [edited(rng, words, 0.08, write) for words in originals[:60]]
    rows = [{"text": "".join(words)} for words in originals + copies]
    finding = found(report(rows), "near_duplicates")
    assert 57 <= finding["count"] <= 60
    assert len(finding["examples"]) == 5
    for each in finding["examples"]:
        assert each["row"] >= 200
        said, _, text = each["text"].partition(": ")
        assert said == f"≈ {each['row'] - 200}"
        assert rows[each["row"]]["text"].split()[:2] == text.rstrip("…").split()[:2]
    assert f"in {finding['count']} groups" in finding["message"]


def test_exact_copies_are_not_near_duplicates(report: Report) -> None:
    rng = random.Random(3)
    rows = [{"text": "".join(latin(rng, 30))}] * 50 + [{"text": "".join(latin(rng, 30))}]
    codes = {finding["code"]: finding["count"] for finding in report(rows)["findings"]}
    assert codes.get("duplicates") == 49
    assert "near_duplicates" not in codes


def test_chain_of_similar_rows_is_one_group(report: Report) -> None:
    rng = random.Random(4)
    words = latin(rng, 60)
    rows = []
    for number in range(12):
        rows.append({"text": "".join(words)})
        words = [*words]
        words[number * 4] = "changed "
    finding = found(report(rows), "near_duplicates")
    assert finding["count"] == 11
    assert "in 1 groups" in finding["message"]


@pytest.mark.parametrize("rows", [1, 3])
def test_rows_without_words_are_not_near_duplicates(report: Report, rows: int) -> None:
    codes = [f["code"] for f in report([{"text": "…"}] * rows)["findings"]]
    assert "near_duplicates" not in codes


def test_shingles_do_not_depend_on_batches() -> None:
    """Check that a row's shingles are the same in any batch."""
    rng = random.Random(5)
    table = pa.table({"text": ["".join(latin(rng, 40)) for _ in range(30)] + [None, "", "好"]})
    whole, bounds = shingles_of(table.to_batches()[0], ["text"])
    start = 0
    for batch in table.to_batches(max_chunksize=7):
        part, inner = shingles_of(batch, ["text"])
        end = start + batch.num_rows
        assert part.tolist() == whole[bounds[start] : bounds[end]].tolist()
        assert (inner + bounds[start]).tolist() == bounds[start : end + 1].tolist()
        start = end


def test_thousands_of_similar_rows_are_found_quickly() -> None:
    """Put all rows in one bucket, in which each row is compared only with its neighbours."""
    rng = random.Random(6)
    words = latin(rng, 40)
    texts = ["".join([*words[:-1], f"number{n} "]) for n in range(5000)]
    batch = pa.record_batch({"text": texts})
    check = NearDuplicates(Context(DataShape.TEXT, batch.schema, len(texts)))
    check.look(batch, 0)
    [finding] = check.findings()
    assert finding.count == 4999


def test_texts_with_nul_are_compared_completely(report: Report) -> None:
    rng = random.Random(5)
    texts = [latin(rng, 40) for _ in range(20)]
    rows = [{"text": "\x00".join(words)} for words in texts]
    rows += [{"text": "\x00\x00"}, {"text": " ".join([*texts[3][:-1], "else"])}]
    finding = found(report(rows), "near_duplicates")
    assert [(each["row"], each["text"][:4]) for each in finding["examples"]] == [(21, "≈ 3:")]
