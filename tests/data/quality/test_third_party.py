"""Tests of checks from other distributions, which are installed in a separate directory."""

import sys
from pathlib import Path

import pytest

from tests.data.conftest import chat
from tests.data.quality.conftest import Report, codes, found
from tests.data.quality.test_fixes import Fixed, fixed  # noqa: F401  (a fixture)

MODULE = '''
import pyarrow.compute as pc
from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Finding, Severity, Tally
from aiplatform.data.quality.texts import rows_where, texts_of

class Shouting(Check):
    """Texts in capitals."""
    def __init__(self, context):
        super().__init__(context)
        self.tally = Tally()
    def look(self, batch, first_row):
        for texts, rows in texts_of(batch, self.context.content):
            loud = pc.and_(pc.utf8_is_upper(texts), pc.greater(pc.utf8_length(texts), 5))
            self.tally.add_where(rows_where(loud, rows, batch.num_rows), batch, first_row)
    def findings(self):
        return [] if not self.tally.count else [Finding(
            "shouting", Severity.WARNING, self.tally.count, Words("in capitals", "全为大写"),
            Words("The model shouts.", "模型会大喊大叫。"),
            examples=self.tally.examples, rows=self.tally.rows)]

class Broken(Check):
    def look(self, batch, first_row):
        raise RuntimeError("no licence found")
    def findings(self):
        return []

class Posing(Shouting):
    def findings(self):
        return [Finding("duplicates", Severity.INFO, 1, Words("", ""), Words("", ""))]

no_check = object()
'''
POINTS = {
    "broken": "shouting:Broken",
    "missing": "not_installed_at_all:Check",
    "no-check": "shouting:no_check",
    "posing": "shouting:Posing",
    "shouting": "shouting:Shouting",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with checks, including the files that pip would create."""
    site = tmp_path / "site"
    info = site / "shouting_check-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "shouting.py").write_text(MODULE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting-check\nVersion: 1.2\n")
    lines = "".join(f"{name} = {value}\n" for name, value in POINTS.items())
    (info / "entry_points.txt").write_text(f"[aiplatform.quality_checks]\n{lines}")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "shouting", raising=False)


ROWS = [
    chat("u: hi", "a: hello there"),
    chat("u: hi", "a: HELLO THERE, FRIEND"),
    chat("u: hi", "a: HELLO THERE, FRIEND"),
]


@pytest.mark.usefixtures("installed")
def test_report_contains_findings_and_errors_of_third_party_checks(report: Report) -> None:
    made = report(ROWS)
    finding = found(made, "shouting")
    assert (finding["count"], finding["checked_by"], finding["fixes"]) == (2, "shouting", ["drop"])
    assert codes(made).count("duplicates") == 1
    fared = {check["name"]: check for check in made["outside_checks"]}
    assert fared["shouting"] == {
        "name": "shouting", "distribution": "shouting-check", "version": "1.2", "error": None,
    }  # fmt: skip
    assert fared["broken"]["error"] == "RuntimeError: no licence found"
    assert fared["missing"]["error"].startswith("ModuleNotFoundError")
    assert "not a subclass of Check" in fared["no-check"]["error"]
    assert "'duplicates' is not free" in fared["posing"]["error"]


@pytest.mark.usefixtures("installed")
def test_rows_of_a_third_party_finding_can_be_dropped(fixed: Fixed) -> None:  # noqa: F811
    assert fixed(ROWS, shouting="drop")["rows"] == [ROWS[0]]


def test_report_without_third_party_checks_has_none(report: Report) -> None:
    assert report(ROWS)["outside_checks"] == []
