"""``python -m aiplatform.data.preview_fix``: show some rows before and after a fix.

The fixes need large libraries, and the texts are untrusted. Therefore a separate program applies
the fixes to a few rows, and writes the result as JSON.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import prepare_process, run_program
from aiplatform.data.quality.fixes import fixed_rows
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.fixes import fixes_of
from aiplatform.protocol.rows import RowFix
from aiplatform.protocol.specs import FixAction, Strict

MOST_BYTES = 4 << 20
"""Total size of the rows, in bytes, after which a preview ends."""

REMOVING = frozenset({"drop", "deduplicate"})
"""Fixes that remove the rows of a finding."""


class Job(Strict):
    """The rows of a finding by position, the fix, and the path of the file to write."""

    rows: Path
    output: Path
    finding: str
    action: FixAction
    positions: list[int]


def preview(job: Job) -> list[dict[str, Any]]:
    """Return the rows of a job: ``row``, ``before``, and ``after``, which is None for removed rows.

    Raises:
        MalformedData: the finding has no such fix.
    """
    if job.action != "drop" and job.action not in fixes_of(job.finding):
        raise MalformedData("fix_unknown", finding=job.finding, action=job.action)
    items: list[dict[str, Any]] = []
    size = 0
    fix = RowFix(fixes={job.finding: job.action})
    for row, before, after in fixed_rows(job.rows, fix, job.positions):
        gone = job.action in REMOVING
        items.append({"row": row, "before": before, "after": None if gone else after})
        size += len(dumps(before))
        if size >= MOST_BYTES:
            break
    return items


def main(arguments: list[str] | None = None) -> int:
    """Run the program: write the rows, and print their number as one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.preview_fix", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    job = Job.model_validate_json(options.job.read_bytes())
    try:
        items = preview(job)
    except MalformedData as error:
        sys.stdout.write(dumps({"ok": False, **error.as_dict()}) + "\n")
        return 0
    job.output.write_text(dumps(items), "utf-8")
    sys.stdout.write(dumps({"ok": True, "rows": len(items)}) + "\n")
    return 0


if __name__ == "__main__":
    run_program(main)
