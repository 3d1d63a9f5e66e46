"""Tests that a file's reader is chosen by the claimed format, the content and the name."""

import gzip
from importlib import import_module

import pytest
import zstandard

from aiplatform.data.formats import BINARY, MODULES, SUFFIXES
from aiplatform.protocol.enums import DataFormat
from tests.data.conftest import Upload, jsonl

LINES = jsonl({"a": 1}, {"a": 2})
ARRAY = b'[{"a": 1}, {"a": 2}]'
TABLE = b"a,b\n1,2\n"


@pytest.mark.parametrize(
    ("data", "filename", "claimed", "found"),
    [
        (LINES, "x.jsonl", None, DataFormat.JSONL),
        (LINES, "x.ndjson", None, DataFormat.JSONL),
        (LINES, "x.json", None, DataFormat.JSON),
        (ARRAY, "x.json", None, DataFormat.JSON),
        (ARRAY, "x.jsonl", None, DataFormat.JSON),
        (ARRAY, "x", None, DataFormat.JSON),
        (LINES, "", None, DataFormat.JSONL),
        (LINES, "x.dat", None, DataFormat.JSONL),
        (TABLE, "x.csv", None, DataFormat.CSV),
        (TABLE, "X.CSV", None, DataFormat.CSV),
        (TABLE, "x.dat", None, DataFormat.TEXT),
        (TABLE, "x.dat", DataFormat.CSV, DataFormat.CSV),
        (TABLE, "x.csv", DataFormat.TEXT, DataFormat.TEXT),
        (b"a\tb\n1\t2\n", "x.tsv", None, DataFormat.TSV),
        (gzip.compress(LINES, mtime=0), "x.jsonl.gz", None, DataFormat.JSONL),
        (zstandard.compress(TABLE), "x.csv.zst", None, DataFormat.CSV),
        (LINES, "x.jsonl.gz", None, DataFormat.JSONL),
        (gzip.compress(LINES, mtime=0), "x.jsonl", None, DataFormat.JSONL),
    ],
)
def test_format_is_found_by_claim_content_and_suffix(
    upload: Upload, data: bytes, filename: str, claimed: DataFormat | None, found: DataFormat
) -> None:
    upload(data, filename, claimed)
    assert upload.found["format"] == found


@pytest.mark.parametrize(
    ("data", "claimed", "reason"),
    [
        (ARRAY, DataFormat.JSONL, "json_not_object"),
        (TABLE, DataFormat.JSONL, "json_invalid"),
        (TABLE, DataFormat.JSON, "json_separator"),
        (LINES, DataFormat.PARQUET, "parquet_invalid"),
        (b"PAR1....PAR1", DataFormat.CSV, "format_mismatch"),
    ],
)
def test_file_of_another_format_than_claimed_is_refused(
    upload: Upload, data: bytes, claimed: DataFormat, reason: str
) -> None:
    assert upload.error(data, "x", claimed).reason == reason


def test_equal_rows_give_equal_columns_in_every_format(upload: Upload) -> None:
    """Check that the outputs begin with the same bytes, apart from the name of the format."""
    contents = set()
    for data, name in ((LINES, "x.jsonl"), (ARRAY, "x.json"), (gzip.compress(LINES), "x.jsonl")):
        upload(data, name)
        contents.add(upload.output.read_bytes().replace(b"jsonl", b"json"))
    assert len({content[:200] for content in contents}) == 1


@pytest.mark.parametrize("found", sorted(set(DataFormat) - set(BINARY)))
def test_every_text_format_has_a_module_with_a_reader(found: DataFormat) -> None:
    module = import_module(f"aiplatform.data.formats.{MODULES.get(found, found)}")
    assert callable(module.open_text)


def test_no_two_formats_share_a_suffix() -> None:
    assert len(SUFFIXES) == sum(len(found.suffixes) for found in DataFormat)
