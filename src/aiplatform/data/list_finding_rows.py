"""``python -m aiplatform.data.list_finding_rows``: list the rows of each finding of a report.

The quality report has only examples and counts. This program runs the checks again on all rows, and
writes an index of row positions by finding, from which pages of rows are read. Findings that need a
tokenizer or other datasets are not in the index.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from aiplatform.data.canonical import row_count, shape_of
from aiplatform.data.finding_rows_file import write_positions
from aiplatform.data.ingest import prepare_process, run_program
from aiplatform.data.quality.builtin_checks import CHECKS
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.check_run import CheckRun
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.specs import Strict


class Job(Strict):
    """The version to check, and the path of the index to write."""

    rows: Path
    output: Path
    near_duplicates: bool = False


def list_rows(job: Job) -> dict[str, Any]:
    """Write the index for a job, and return the number of rows of each finding.

    The search for near duplicates is the most expensive, and runs only if the job asks for it.
    """
    context = Context(shape_of(job.rows), pq.read_schema(job.rows), row_count(job.rows))
    kinds = [kind for kind in CHECKS if job.near_duplicates or kind is not NearDuplicates]
    run = CheckRun(context, kinds, None, 0)
    run.execute(job.rows, lambda _: None)
    positions: dict[str, set[int]] = {}
    for finding in run.findings():
        # Several columns may have the same finding.
        positions.setdefault(finding.code, set()).update(finding.rows)
    write_positions(job.output, positions)
    return {code: len(rows) for code, rows in positions.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the program: print the counts as one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.list_finding_rows", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    counts = list_rows(Job.model_validate_json(options.job.read_bytes()))
    sys.stdout.write(dumps({"ok": True, "counts": counts}) + "\n")
    return 0


if __name__ == "__main__":
    run_program(main)
