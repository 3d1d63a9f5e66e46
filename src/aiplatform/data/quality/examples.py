"""Prepare the examples of findings for a report: add row previews and mask personal data."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aiplatform.data.quality.check import Finding, preview_of
from aiplatform.data.quality.personal_patterns import mask
from aiplatform.data.row_access import rows_at

COPIES = frozenset({"duplicates", "near_duplicates"})
"""Findings that are known only after the last row; their examples still lack a row preview."""


def prepare_examples(findings: Iterable[Finding], parquet: Path) -> None:
    """Add the beginning of the row to examples of copies; mask personal data in all examples.

    Reports are kept forever and shared, so they must not contain personal data. Users with
    permission can look up the rows themselves.
    """
    kept = list(findings)
    bare = sorted({e.row for each in kept if each.code in COPIES for e in each.examples})
    rows = dict(zip(bare, rows_at(parquet, bare), strict=True)) if bare else {}
    for finding in kept:
        if finding.code in COPIES:
            finding.examples = [
                replace(e, text=f"{e.text}: {preview_of(rows[e.row])}") for e in finding.examples
            ]
        finding.examples = [replace(e, text=mask(e.text)) for e in finding.examples]
