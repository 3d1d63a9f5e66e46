"""Tests of uploading tables from other libraries."""

import subprocess
import sys
from typing import Any

import datasets
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiplatform.client import Client, ClientError
from aiplatform.client.transfers import body_of
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

ROWS = [{"question": "who?", "score": 0.5}, {"question": "你好", "score": None}]
COLUMNS = {"question": ["who?", "你好"], "score": [0.5, None]}
TABLES = {
    "pandas": pd.DataFrame(COLUMNS),
    "polars": pl.DataFrame(COLUMNS),
    "polars, lazy": pl.LazyFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "arrow, one batch": pa.RecordBatch.from_pylist(ROWS),
    "datasets": datasets.Dataset.from_dict(COLUMNS),
}


def written(data: Any) -> pa.Table:
    """Return the table that is sent when ``data`` is uploaded."""
    body = body_of(data)
    assert body.filename == "table.parquet"
    content = b"".join(body.chunks())
    assert len(content) == body.length
    assert b"".join(body.chunks()) == content, "an upload may be repeated"
    return pq.read_table(pa.BufferReader(content))


@pytest.mark.parametrize("name", list(TABLES))
def test_table_is_uploaded_with_all_its_rows(name: str) -> None:
    assert written(TABLES[name]).to_pylist() == ROWS


def test_pandas_index_is_a_column_only_if_it_has_a_name() -> None:
    frame = pd.DataFrame({"n": [1, 2, 3]})
    assert written(frame[frame.n > 1]).to_pydict() == {"n": [2, 3]}
    named = pd.DataFrame({"n": [1]}, index=pd.Index(["a"], name="id"))
    assert written(named).to_pydict() == {"n": [1], "id": ["a"]}


def test_dataset_dict_is_refused_with_its_splits() -> None:
    splits = datasets.DatasetDict({"train": TABLES["datasets"], "test": TABLES["datasets"]})
    with pytest.raises(TypeError, match=r"upload one of data\['train'\], data\['test'\]"):
        body_of(splits)


def test_table_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ClientError, match="uploaded as Parquet") as refused:
        body_of(TABLES["arrow"])
    assert "pip install pyarrow" in refused.value.hint


def test_upload_names_the_format_of_a_table(client: Client, server: FakeServer) -> None:
    project = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
    made = Partial({"uuid": project, "name": "faq", "version": "v1", "status": "processing"})
    server.on(f"POST projects/{project}/datasets", answer(made, 201))
    client.datasets.upload("faq", TABLES["pandas"], project=project)
    assert server.requests[0].url.params["filename"] == "table.parquet"
    assert server.bodies[0].startswith(b"PAR1")


def test_sdk_does_not_import_the_libraries() -> None:
    code = (
        "import sys; from aiplatform.client.transfers import body_of; body_of(b'x');"
        "body_of([{'a': 1}]);"
        "print(sorted({'pandas', 'polars', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
