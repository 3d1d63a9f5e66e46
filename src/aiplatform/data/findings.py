"""``python -m aiplatform.data.findings``: which rows the findings of the quality report are about.

The report has examples and counts; this makes an index of places by finding, from which a page of
rows is read. The checks look at all rows once more, so whoever asks waits for it once. What only a
tokenizer or other data shows has no rows here.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from aiplatform.data.canonical import row_count, shape_of
from aiplatform.data.finding_index import write_places
from aiplatform.data.ingest import prepare_process
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.checks import CHECKS
from aiplatform.data.quality.look import Look
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.specs import Strict


class Job(Strict):
    """The version whose rows are looked at, and where the index goes."""

    rows: Path
    output: Path
    near_duplicates: bool = False


def index(job: Job) -> dict[str, Any]:
    """Write the index of a job: places by finding, ascending. Near duplicates cost the most, and
    are looked for only when the job says so.
    """
    context = Context(shape_of(job.rows), pq.read_schema(job.rows), row_count(job.rows))
    kinds = [kind for kind in CHECKS if job.near_duplicates or kind is not NearDuplicates]
    look = Look(context, kinds, None, 0)
    look.at(job.rows, lambda _: None)
    places: dict[str, set[int]] = {}
    for finding in look.findings():
        # One finding may be told of several columns.
        places.setdefault(finding.code, set()).update(finding.rows)
    write_places(job.output, places)
    return {code: len(rows) for code, rows in places.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; prints one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.findings", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    counts = index(Job.model_validate_json(options.job.read_bytes()))
    sys.stdout.write(dumps({"ok": True, "counts": counts}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
