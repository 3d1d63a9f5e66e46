"""Tests of the rules for file names and for a dataset's status."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.protocol.enums import DatasetStatus, TaskStatus
from aiplatform.server.datasets.rules import safe_filename, status_after_report

S, D = TaskStatus, DatasetStatus


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("rows.jsonl", "rows.jsonl"),
        ("问答.csv", "问答.csv"),
        ("C:\\data\\rows.csv", "rows.csv"),
        ("../../etc/passwd", "passwd"),
        ("..", "upload"),
        ("", "upload"),
        (".env", "env"),
        ("a\x00b\n.csv", "a\ufffdb.csv"),
        ("\u202egpj.exe", "gpj.exe"),
        ('a<b>:"|?*.csv', "a_b______.csv"),
        ("x" * 300 + ".jsonl.gz", "x" * 191 + ".jsonl.gz"),
        ("a." + "b" * 300, "a." + "b" * 198),
    ],
)
def test_safe_filename_removes_unsafe_parts(given_name: str, kept: str) -> None:
    assert safe_filename(given_name) == kept


@given(st.text(max_size=400))
def test_safe_filename_of_any_text_is_safe(name: str) -> None:
    kept = safe_filename(name)
    assert 0 < len(kept.encode()) <= 200
    assert not set(kept) & set('/\\"<>:|?*')
    assert not kept.startswith((".", " "))
    assert not any(unicodedata.category(c)[0] == "C" for c in kept)


@pytest.mark.parametrize(
    ("ended", "reported", "others", "status"),
    [
        (S.COMPLETED, True, False, D.READY),
        (S.FAILED, True, False, D.READY),
        (S.FAILED, True, True, D.READY),
        (S.FAILED, False, True, D.PROCESSING),
        (S.FAILED, False, False, D.FAILED),
        (S.CANCELLED, False, False, D.UPLOADED),
    ],
)
def test_status_after_report_depends_on_result_and_waiting_tasks(
    ended: TaskStatus, reported: bool, others: bool, status: DatasetStatus
) -> None:
    assert status_after_report(ended, reported=reported, others_waiting=others) is status
