"""Tests of the index that lists the rows of each finding."""

from pathlib import Path

import pytest

from aiplatform.data.finding_rows_file import read_positions
from aiplatform.data.list_finding_rows import Job, list_rows
from tests.data.conftest import Upload, jsonl
from tests.data.quality.test_third_party import ROWS, installed  # noqa: F401  (a fixture)


@pytest.mark.usefixtures("installed")
def test_index_contains_rows_of_third_party_findings(upload: Upload, tmp_path: Path) -> None:
    upload(jsonl(*ROWS), "x.jsonl")
    job = Job(rows=upload.output, output=tmp_path / "index.parquet")
    counts = list_rows(job)
    assert (counts["shouting"], counts["duplicates"]) == (2, 1)
    assert read_positions(job.output, "shouting").tolist() == [1, 2]
    assert read_positions(job.output, "broken").tolist() == []
