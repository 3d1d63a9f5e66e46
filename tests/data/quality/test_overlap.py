"""Tests of the checks for leaked evaluation data and benchmark passages."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.data.ingest import ingest
from aiplatform.data.quality import contamination
from aiplatform.data.quality.references import Reference, Role
from aiplatform.data.quality.report import make_report
from tests.data.conftest import chat, jsonl
from tests.data.quality.conftest import codes, found

Compared = Callable[..., dict[str, Any]]
WORDS = [f"word{n}" for n in range(3000)]
HAN = [chr(0x4E00 + n) for n in range(3000)]


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    """Return a function that makes a report on rows, with other rows as the reference."""

    def stored(name: str, rows: list[dict[str, Any]]) -> Path:
        source = tmp_path / f"{name}.jsonl"
        source.write_bytes(jsonl(*rows))
        ingest(source, tmp_path / f"{name}.parquet", filename=source.name)
        return tmp_path / f"{name}.parquet"

    def report(
        rows: list[dict[str, Any]], others: list[dict[str, Any]], role: Role = "evaluation"
    ) -> dict[str, Any]:
        references = [Reference("held@v1", role, stored("held", others))]
        return make_report(
            stored("rows", rows),
            tokenizer=None,
            max_length=8,
            progress=lambda _: None,
            references=references,
        )

    return report


def words(seed: int, count: int) -> list[str]:
    return random.Random(seed).choices(WORDS, k=count)


def told(seed: int, count: int = 40) -> str:
    return " ".join(words(seed, count))


def test_leaked_rows_questions_and_similar_rows_are_found(compared: Compared) -> None:
    edited = words(3, 40)
    edited[20] = "another"
    rows = [
        chat(f"u: {told(1, 8)}", f"a: {told(11)}"),
        chat(f"u: {told(2, 8)}", f"a: {told(999)}"),
        chat("u: Hello?", "a: " + " ".join(edited)),
        chat("u: Hello?", f"a: {told(4)}"),
        chat("u: Hello?", f"a: {told(5)}"),
    ]
    # Column names, capitals and punctuation make no difference.
    held = [
        {"instruction": told(6, 8), "output": told(66)},
        {"instruction": told(1, 8).upper(), "output": f"{told(11)}."},
        {"instruction": f"{told(2, 8)}?", "output": told(22)},
        {"instruction": "Hello?", "output": told(3)},
    ]
    made = compared(rows, held)
    exact = found(made, "leakage_exact")
    assert (exact["count"], exact["severity"], exact["fixes"]) == (1, "error", ["drop"])
    assert exact["examples"][0]["row"] == 0
    assert exact["examples"][0]["text"].startswith("= held@v1 1: ")
    assert [found(made, f"leakage_{kind}")["count"] for kind in ("question", "near")] == [1, 1]
    assert found(made, "leakage_question")["examples"][0]["row"] == 1
    assert found(made, "leakage_near")["examples"][0]["text"].startswith("= held@v1 3: ")
    [summary] = made["compared_with"]
    counted = {key: summary[key] for key in ("rows", "exact", "question", "near")}
    assert counted == {"rows": 4, "exact": 1, "question": 1, "near": 1}


def test_short_equal_questions_are_no_leakage(compared: Compared) -> None:
    made = compared(
        [chat("u: Who are you?", "a: A model.")], [chat("u: who are you", "a: Nobody.")]
    )
    assert made["findings"] == []
    assert made["compared_with"][0]["question"] == 0


def test_different_rows_are_no_leakage(compared: Compared) -> None:
    rows = [{"text": told(n), "label": n % 2} for n in range(20)]
    made = compared(rows, [{"text": told(n + 100), "label": 1} for n in range(20)])
    assert made["findings"] == []


@pytest.mark.parametrize(("alphabet", "joint", "run"), [(WORDS, " ", 13), (HAN, "", 20)])
def test_passage_of_a_benchmark_is_found(
    compared: Compared, alphabet: list[str], joint: str, run: int
) -> None:
    def text(seed: int, count: int = 60) -> list[str]:
        return random.Random(seed).choices(alphabet, k=count)

    benchmark = [{"prompt": joint.join(text(n)), "answer_key": "A"} for n in range(30)]
    passage = text(7)[10 : 10 + run]
    rows = [{"text": joint.join(text(1000 + n))} for n in range(50)]
    rows[20]["text"] = joint.join([*text(500, 30), *passage, *text(501, 30)])
    rows[21]["text"] = joint.join([*text(502, 30), *passage[1:], *text(503, 30)])
    made = compared(rows, benchmark, "benchmark")
    finding = found(made, "contamination")
    assert (finding["count"], finding["severity"], finding["fixes"]) == (1, "error", ["drop"])
    assert finding["examples"][0]["row"] == 20
    assert finding["examples"][0]["text"].startswith("= held@v1 7: ")
    assert "held@v1 (1/30)" in finding["message"]
    [summary] = made["compared_with"]
    assert (summary["run"], summary["contaminated"], summary["rows"]) == (run, 1, 30)
    assert f"runs of {run} words" in summary["method"]


def test_short_benchmarks_are_compared_by_shorter_runs(compared: Compared) -> None:
    benchmark = [{"text": told(n, 9)} for n in range(20)] + [{"text": "too short"}]
    made = compared([{"text": f"{told(900)} {told(3, 9)}"}], benchmark, "benchmark")
    assert found(made, "contamination")["count"] == 1
    assert made["compared_with"][0]["run"] == 9
    assert made["compared_with"][0]["too_short"] == 1


def test_phrase_in_many_rows_is_no_contamination(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    phrase = told(1, 15)
    rows = [{"text": f"{told(100 + n)} {phrase} {told(200 + n)}"} for n in range(12)]
    benchmark = [{"text": f"{phrase} {told(5)}"}, *({"text": told(n)} for n in range(30, 60))]
    assert "contamination" not in codes(compared(rows, benchmark, "benchmark"))
    monkeypatch.setattr(contamination, "COMMON_ROWS", 12)
    assert found(compared(rows, benchmark, "benchmark"), "contamination")["count"] == 12
