"""Examples as a report has them: recognisable, and without what nobody should pass on."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aiplatform.data.browse import rows_at
from aiplatform.data.quality.check import Finding, preview_of
from aiplatform.data.quality.personal_patterns import mask

COPIES = frozenset({"duplicates", "near_duplicates"})
"""Findings that are known only when all rows were seen: their examples name rows, and no more."""


def tell_examples(findings: Iterable[Finding], parquet: Path) -> None:
    """Give the examples of copies the beginnings of their rows, and mask personal data in all.

    Reports are kept for ever and passed on; the rows that they are about are looked up by those
    who may.
    """
    told = list(findings)
    bare = sorted({e.row for each in told if each.code in COPIES for e in each.examples})
    rows = dict(zip(bare, rows_at(parquet, bare), strict=True)) if bare else {}
    for finding in told:
        if finding.code in COPIES:
            finding.examples = [
                replace(e, text=f"{e.text}: {preview_of(rows[e.row])}") for e in finding.examples
            ]
        finding.examples = [replace(e, text=mask(e.text)) for e in finding.examples]
