"""Tests of the CSV and TSV reader."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.formats import csv as csv_module
from aiplatform.data.formats.csv import Dialect, sniff
from aiplatform.data.limits import MAX_ROW_BYTES
from tests.data.conftest import Upload


@pytest.mark.parametrize(
    ("sample", "dialect"),
    [
        ("a,b\n1,2\n", Dialect(",")),
        ("a;b\n1,5;2\n2,5;3\n", Dialect(";")),
        ("a\tb\nx, y\tz\n", Dialect("\t")),
        ("a|b|c\n1|2|3\n", Dialect("|")),
        ('a,b\n"1,5",2\n', Dialect(",")),
        ('a,b\n"multi\nline",2\n', Dialect(",")),
        ('a\tb\n"He said\tx\n', Dialect("\t", None)),
        ("text\nplain\n", Dialect(",")),
        ("a;b\n1;2;3\n", Dialect(";")),
        ("a,b\r\n1,2\r\n", Dialect(",")),
        ("", Dialect(",")),
    ],
)
def test_sniff_detects_the_dialect(sample: str, dialect: Dialect) -> None:
    assert sniff(sample) == dialect


def test_values_of_text_columns_are_unchanged(upload: Upload) -> None:
    data = 'id,price,note\n007,1.10,"say ""hi"", ok"\n1e3,NaN,\n true , ,"a\nb"\n'
    assert upload(data.encode(), "x.csv", types={"price": "text"}) == [
        {"id": "007", "price": "1.10", "note": 'say "hi", ok'},
        {"id": "1e3", "price": "NaN", "note": None},
        {"id": " true ", "price": " ", "note": "a\nb"},
    ]
    assert upload.found["details"] == {"dialect": {"delimiter": ",", "quote": '"', "header": True}}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_any_line_end_is_read(upload: Upload, ends: str) -> None:
    data = ends.join(["a,b", "1,2", "", "3,4", ""]).encode()
    assert upload(data, "x.csv") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_tsv_without_quoting_is_read(upload: Upload) -> None:
    data = 'text\tlabel\n"Great" film\t1\n"Bad, she said\t0\n'
    assert upload(data.encode(), "x.tsv") == [
        {"text": '"Great" film', "label": 1},
        {"text": '"Bad, she said', "label": 0},
    ]
    assert upload.found["format"] == "tsv"
    assert upload.found["shape"] == "classification"


def test_column_without_a_name_gets_one(upload: Upload) -> None:
    assert upload(b",b, \n1,2,3\n", "x.csv") == [{"column_1": 1, "b": 2, "column_3": 3}]


@pytest.mark.parametrize(
    ("data", "reason", "line", "said"),
    [
        (b"a,b\n1,2\n1,2,3\n", "csv_ragged", 3, "3 fields, but the header has 2"),
        (b'a,b\n"x\ny\nz",2\n1\n', "csv_ragged", 5, "1 fields, but"),
        (b"a,b\n1,2\n\n1\n", "csv_ragged", 4, "1 fields, but"),
        (b'a,b\n1,"2\n3,4\n', "csv_quote", 2, "never closed"),
        (b'a,b\n1,"2"x\n', "csv_quote", 2, "broken"),
        (b"a,b,a\n1,2,3\n", "column_twice", 1, "“a” appears twice"),
        (",".join(f"c{i}" for i in range(10_000)).encode(), "columns_too_many", 1, "10000"),
        (b"a,b\n", "no_rows", None, "no rows"),
        (b"\n\n", "no_rows", None, "no rows"),
        (b"a,b\n1,2\n1,\x00\n", "nul_byte", 3, "binary"),
        (b"k" * 300 + b",b\n1,2\n", "column_name", 1, "255"),
        ("a,b\né,2\n".encode() + b"\xff,2\n", "encoding_invalid", 3, "byte 9"),
    ],
)
def test_invalid_file_is_refused_with_its_line(
    upload: Upload, data: bytes, reason: str, line: int | None, said: str
) -> None:
    error = upload.error(data, "x.csv")
    assert (error.reason, error.line) == (reason, line)
    assert said in error.message


@pytest.mark.parametrize("filler", [b"x" * 99 + b"\n", b'x\n","', b"x" * 99])
def test_endless_record_is_refused(upload: Upload, filler: bytes) -> None:
    """Check that an unclosed quote, or endless quoted fields, does not fill the memory."""
    data = b'a,b\n1,"' + filler * (MAX_ROW_BYTES // len(filler) + 2)
    error = upload.error(data, "x.csv")
    assert error.reason in {"csv_quote", "line_too_long"}
    assert error.line == 2


def test_rows_do_not_depend_on_blocks(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[f"{n}", "x\ny" * (n % 5), 'q"' * (n % 3)] for n in range(500)]
    text = io.StringIO()
    csv.writer(text).writerows([["id", "note", "quoted"], *rows])
    data = text.getvalue().encode()
    whole = upload(data, "x.csv")
    assert [["" if v is None else str(v) for v in row.values()] for row in whole] == rows
    content = upload.output.read_bytes()
    monkeypatch.setattr("aiplatform.data.formats.source_file.SourceFile.chunks.__defaults__", (33,))
    monkeypatch.setattr(csv_module, "BLOCK_BYTES", 100)
    assert upload(data, "x.csv") == whole
    assert upload.output.read_bytes() == content


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=20))
def test_round_trip_keeps_texts(tmp_path_factory, rows: list[tuple[str, ...]]) -> None:
    upload = Upload(tmp_path_factory.mktemp("round"))
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    read = upload(text.getvalue().encode(), "x.csv", types=dict.fromkeys("abc", "text"))
    assert [tuple(row.values()) for row in read] == [
        tuple(value or None for value in row) for row in rows
    ]
