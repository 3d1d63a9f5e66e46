"""Tests of the index of rows by finding."""

from pathlib import Path

import pytest

from aiplatform.data.finding_index import places_of
from aiplatform.data.findings import Job, index
from tests.data.conftest import Upload, jsonl
from tests.data.quality.test_third_party import ROWS, installed  # noqa: F401  (a fixture)


@pytest.mark.usefixtures("installed")
def test_index_contains_rows_of_third_party_findings(upload: Upload, tmp_path: Path) -> None:
    upload(jsonl(*ROWS), "x.jsonl")
    job = Job(rows=upload.output, output=tmp_path / "index.parquet")
    counts = index(job)
    assert (counts["shouting"], counts["duplicates"]) == (2, 1)
    assert places_of(job.output, "shouting").tolist() == [1, 2]
    assert places_of(job.output, "broken").tolist() == []
