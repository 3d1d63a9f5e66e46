"""Tests of the quality report as a whole."""

import json
import os
import random
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from aiplatform.data import canonical
from aiplatform.data.errors import Words
from aiplatform.data.quality import pieces
from aiplatform.data.quality.check import Finding, Severity
from aiplatform.data.quality.report import FORMULA, make_report, score
from aiplatform.protocol.encoding import dumps
from tests.data.conftest import Upload, chat, jsonl, peak_of
from tests.data.quality.conftest import Report


def finding(severity: Severity, count: int) -> Finding:
    return Finding("code", severity, count, Words("", ""), Words("", ""))


def test_score_follows_its_formula() -> None:
    assert score([], 10) == 100
    assert score([finding(Severity.INFO, 10)], 10) == 100
    assert score([finding(Severity.ERROR, 1)], 10) == 90
    assert score([finding(Severity.WARNING, 1)], 10) == 95
    assert score([finding(Severity.ERROR, 5), finding(Severity.WARNING, 10)], 10) == 25
    assert score([finding(Severity.ERROR, 10)], 10) == 0
    assert score([finding(Severity.WARNING, 1)], 10**6) == 99  # 100 only without any warning.


def test_report_is_json_in_both_languages(report: Report) -> None:
    made = report([chat("u: a"), chat("u: a"), {"messages": None}])
    assert json.loads(dumps(made)) == made
    assert made["score_formula"] == FORMULA
    assert made["rows"] == 3
    assert made["tokens"] is None
    for each in made["findings"]:
        assert set(each) == {
            "code", "severity", "column", "count", "share", "message", "message_zh", "effect",
            "effect_zh", "examples", "fixes",
        }  # fmt: skip
        assert all(each[key] for key in ("message", "message_zh", "effect", "effect_zh"))
    severities = [each["severity"] for each in made["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_report_does_not_depend_on_batches(
    upload: Upload, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    rows = [
        rng.choice(
            [
                chat("u: a", f"a: {rng.randrange(9)}"),
                chat("u: " + "long " * rng.randrange(50)),
                chat("u: ", "a: b"),
                chat("a: b", "u: c"),
                {"messages": None},
            ]
        )
        for _ in range(500)
    ]
    reports = []
    for group, batch, look in (
        (10**6, 10**6, 10**9),
        (10**6, 10**6, 999),
        (100, 70, 1),
        (33, 7, 1),
    ):
        monkeypatch.setattr(pieces, "LOOK_BYTES", look)
        monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", group)
        upload(jsonl(*rows), "x.jsonl")
        monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", batch)
        reports.append(
            make_report(upload.output, tokenizer=weights, max_length=60, progress=lambda _: None)
        )
    assert all(report == reports[0] for report in reports[1:])
    assert len(reports[0]["findings"]) >= 5


def test_progress_goes_from_0_to_1(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 10)
    upload(jsonl(*({"text": f"{n}"} for n in range(95))), "x.jsonl")
    seen: list[float] = []
    make_report(upload.output, tokenizer=None, max_length=8, progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1], len(seen)) == (0.0, 1.0, 11)


@pytest.mark.slow
def test_memory_hardly_grows_with_the_rows(tmp_path: Path) -> None:
    """Check that a 240 MB report needs at most 40 MiB more memory than a 30 MB one."""
    program = (
        "import sys, pathlib; from aiplatform.data.quality.report import make_report;"
        "make_report(pathlib.Path(sys.argv[1]), tokenizer=None, max_length=8,"
        " progress=lambda _: None)"
    )
    schema = pa.schema(
        [("text", pa.string())], metadata={"aiplatform.shape": "text", "aiplatform.json": "[]"}
    )
    peaks = []
    for megabytes in (30, 240):
        path = tmp_path / f"{megabytes}.parquet"
        with canonical.CanonicalWriter(path, schema) as writer:
            for _ in range(megabytes):
                texts = [os.urandom(5000).hex() for _ in range(100)]
                writer.write(pa.record_batch([pa.array(texts)], schema=schema))
        assert path.stat().st_size > megabytes * 400_000
        peaks.append(peak_of([sys.executable, "-c", program, str(path)]))
    assert peaks[1] < peaks[0] + 40
