"""Tests of the documentation's example data."""

import json
from pathlib import Path

from aiplatform.data.ingest import ingest
from aiplatform.data.quality.report import make_report
from tests.documentation.conftest import ROOT

QUESTIONS = ROOT / "examples/questions.jsonl"


def test_questions_are_chats_of_one_question_and_one_answer() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    assert 80 <= len(rows) <= 150
    for row in rows:
        assert list(row) == ["messages"]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert all(message["content"].strip() for message in row["messages"])


def test_questions_have_no_errors_or_warnings_in_their_quality_report(tmp_path: Path) -> None:
    rows = tmp_path / "questions.parquet"
    ingest(QUESTIONS, rows, filename=QUESTIONS.name)
    report = make_report(rows, tokenizer=None, max_length=512, progress=lambda _: None)
    severe = [found["code"] for found in report["findings"] if found["severity"] != "info"]
    assert severe == []
    assert report["score"] == 100
