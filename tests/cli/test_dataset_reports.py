"""Tests of ``aiplatform datasets report``: its text, older reports, and comparisons."""

from typing import Any

import pytest

from tests.cli.conftest import DATASET, D, E, Run
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

VERSION = Partial({"uuid": E, "dataset": D, "version": "v1", "row_count": 40})
LONG = "一句很长的话" * 40
REPORT: dict[str, Any] = Partial(
    {
        "score": 71,
        "rows": 40,
        "score_formula": "100 × the product",
        "quarantined": {"rows": 3, "reasons": {"json": 2, "columns": 1}},
        "findings": [
            Partial(
                {
                    "code": "duplicates",
                    "severity": "warning",
                    "count": 10,
                    "share": 0.25,
                    "message": "exact copies",
                    "effect": "They are learned by heart.",
                    "fixes": ["deduplicate"],
                    "examples": [
                        {"row": 17, "text": f"= 3: {LONG}"},
                        {"row": 18, "text": "= 4"},
                        {"row": 19, "text": "= 5"},
                    ],
                    "groups": [[3, 17], [4, 18, 20, 21, 22, 23, 24, 25], [5, 19], [6, 30]],
                }
            ),
            Partial(
                {
                    "code": "markup",
                    "severity": "error",
                    "count": 1,
                    "share": 0.025,
                    "message": "HTML",
                    "effect": "The model learns it.",
                    "fixes": [],
                    "examples": [{"row": 2, "text": "= 9: <b>\n\nbold</b>"}],
                }
            ),
            Partial(
                {
                    "code": "refusals",
                    "severity": "info",
                    "count": 2,
                    "share": 0.05,
                    "message": "the answer refuses",
                    "effect": "It may be meant.",
                    "fixes": ["drop"],
                    "examples": [{"row": 8, "text": "I can't"}],
                }
            ),
        ],
    }
)
REFUSED = Partial(
    {
        "passed": False,
        "failures": [{"rule": "score", "text": "its score is 71, at least 90 is asked for"}],
    }
)


@pytest.fixture
def reported(world: FakeServer) -> FakeServer:
    world.on(f"GET datasets/{D}/versions/v1", answer(VERSION))
    world.on(f"GET datasets/{D}/versions/v1/report", answer(REPORT))
    world.on(f"GET datasets/{D}/versions/v1/gate", answer(REFUSED))
    return world


def test_report_prints_findings_gate_and_score(reported: FakeServer, run: Run) -> None:
    ran = run("datasets", "report", "faq")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "warning: exact copies, 10 rows (25.0%)"
    assert "    They are learned by heart." in lines
    assert "    duplicates; fixes: deduplicate" in lines
    assert "    row 18, a copy of row 4" in lines
    assert not any("row 19" in line for line in lines)
    assert "    rows alike: 3, 17; 4, 18, 20, 21, 22, 23 and 2 more; 5, 19; …" in lines
    assert "    row 2: = 9: <b> bold</b>" in lines
    assert "info: the answer refuses, 2 rows (5.0%)" in lines
    assert "It may be meant." not in ran.out
    assert lines[-5:] == [
        "Not included: 3 bad rows, set aside (json 2, columns 1)",
        "Gate: not passed, so training on it is refused",
        "    its score is 71, at least 90 is asked for",
        "Score 71 of 100, 40 rows",
        "The score is 100 × the product.",
    ]


def test_report_examples_are_cut_to_the_width_of_the_terminal(
    reported: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.cells import cell_len

    monkeypatch.setattr("aiplatform.cli.output._PIPED_WIDTH", 60)
    ran = run("datasets", "report", "faq")
    [example] = [line for line in ran.out.splitlines() if "row 17" in line]
    assert example.startswith("    row 17, a copy of row 3: 一句")
    assert example.endswith("…")
    # A wide character that would not fit is left out, so one column may remain empty.
    assert 59 <= cell_len(example) <= 60


def test_upload_ends_with_the_short_report(reported: FakeServer, run: Run, tmp_path: Any) -> None:
    (tmp_path / "faq.jsonl").write_text("{}\n")
    reported.on(f"POST datasets/{D}/versions", answer(VERSION, 201))
    head = DATASET | {"quality_report": REPORT, "shape": "text"}
    reported.on(f"GET datasets/{D}", answer(head))
    ran = run("datasets", "upload", str(tmp_path / "faq.jsonl"))
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        "warning: exact copies, 10 rows (25.0%)",
        "error: HTML, 1 row (2.5%)",
        "Gate: not passed, so training on it is refused",
        "    its score is 71, at least 90 is asked for",
        "Score 71 of 100, 40 rows: 1 error, 1 warning",
    ]
    assert "aiplatform datasets report faq@v1" in ran.err


class TestOlderReports:
    def test_report_with_made_shows_the_older_report_without_the_gate(
        self, reported: FakeServer, run: Run
    ) -> None:
        ran = run("datasets", "report", "faq", "--made", E)
        assert ran.code == 0, ran.err
        assert reported.requests[-1].url.params["made"] == E
        # The gate considers only the newest report.
        assert "Gate" not in ran.out
        assert reported.count(f"GET datasets/{D}/versions/v1/gate") == 0

    def test_report_with_compare_made_compares_with_the_newest_report_of_the_version(
        self, reported: FakeServer, run: Run
    ) -> None:
        changes = {"before": "v1", "after": "v1", "score": {"before": 60, "after": 71},
                   "rows": {"before": 40, "after": 40}, "findings": []}  # fmt: skip
        reported.on(f"GET datasets/{D}/versions/v1/report/changes", answer(changes))
        ran = run("datasets", "report", "faq", "--compare-made", E)
        assert ran.code == 0, ran.err
        assert dict(reported.requests[-1].url.params) == {"since": "v1", "since_made": E}
        assert "score 60 → 71" in ran.err
        assert run("datasets", "report", "faq", "--history", "--made", E).code == 2
