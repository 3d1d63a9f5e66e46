"""Tests of CSV column types: inferred, kept from version to version, or set by users."""

from pathlib import Path
from typing import Any

import pytest

from aiplatform.data.canonical import iter_rows
from aiplatform.data.column_types import Evidence
from aiplatform.data.errors import REASONS, MalformedData
from aiplatform.data.formats import csv as csv_module
from aiplatform.data.ingest import ingest
from aiplatform.data.operation_specs import Job
from aiplatform.data.row_access import search
from aiplatform.data.row_operations import execute
from aiplatform.protocol.reading_options import Reading
from aiplatform.protocol.rows import Condition
from tests.data.conftest import Upload, jsonl


def types(upload: Upload) -> dict[str, str]:
    return {column["name"]: column["type"] for column in upload.found["columns"]}


def column(*values: str, name: str = "c") -> bytes:
    return "\n".join([f"{name},other", *(f"{value},x y" for value in values), ""]).encode()


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        (["1", "-20", "0"], "integer", [1, -20, 0]),
        ([" 1", "2 "], "integer", [1, 2]),
        (["1", "2.5"], "number", [1.0, 2.5]),
        (["1.10", "0.50"], "number", [1.1, 0.5]),
        (["-1e-3", ".5", "5."], "number", [-0.001, 0.5, 5.0]),
        (["true", "False"], "boolean", [True, False]),
        (["2026-01-31", "2024-02-29"], "date", ["2026-01-31", "2024-02-29"]),
        (["2026-01-31 10:00", "2026-01-31"], "timestamp", ["2026-01-31 10:00", "2026-01-31"]),
        (["2026-01-31T10:00:00Z", "2026-01-31T10:00:00.5+02:00"], "timestamp", None),
        (["1", "", "NA", "null", "N/A", " "], "integer", [1, None, None, None, None, None]),
        (["007", "12"], "text", ["007", "12"]),
        (["1234567890123456", "1"], "text", None),
        (["+491701234567", "1"], "text", None),
        (["13812345678", "15912345678"], "text", ["13812345678", "15912345678"]),
        (["4315530912", "2125530912"], "text", None),
        (["1700000000", "1700000100"], "integer", None),
        (["2026-02-30", "2026-01-01"], "text", None),
        (["31/01/2026"], "text", None),
        (["2026-01-31T10:00Z", "2026-01-31T10:00"], "text", None),
        (["1", "x"], "text", ["1", "x"]),
        (["1,5"], None, None),
        (["NA", "NA"], "text", ["NA", "NA"]),
        (["yes", "no"], "text", ["yes", "no"]),
        (["inf", "1"], "text", None),
        (["0x1F", "1"], "text", None),
    ],
)  # fmt: skip
def test_column_of_values_has_the_type_that_all_of_them_fit(
    upload: Upload, values: list[str], kind: str | None, read: list[Any] | None
) -> None:
    if kind is None:
        assert upload.error(column(*values), "x.csv").reason == "csv_ragged"
        return
    rows = upload(column(*values), "x.csv")
    assert types(upload) == {"c": kind, "other": "text"}
    if read is not None:
        assert [row["c"] for row in rows] == read


def test_empty_column_has_no_type(upload: Upload) -> None:
    upload(column("", ""), "x.csv")
    assert types(upload)["c"] == "null"


@pytest.mark.parametrize("name", ["zip", "Phone", "version", "手机"])
def test_column_named_after_a_code_stays_text(upload: Upload, name: str) -> None:
    upload(column("90210", "10001", name=name), "x.csv")
    assert types(upload)[name] == "text"


def test_text_that_training_reads_stays_text(upload: Upload) -> None:
    rows = upload(b"question,answer,score\n1,2,3\n4,5,6.5\n", "x.csv")
    assert upload.found["shape"] == "prompt_completion"
    assert rows[0] == {"prompt": "1", "completion": "2", "score": 3.0}


@pytest.mark.parametrize("last", ["7", "7.5", "seven", "2026-01-01", ""])
def test_type_counts_the_last_row_like_the_first(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Check that neither the type nor the output bytes depend on how rows were cut into chunks."""
    data = column(*(str(number) for number in range(300)), last)
    whole = upload(data, "x.csv")
    content = upload.output.read_bytes()
    monkeypatch.setattr(csv_module, "BLOCK_BYTES", 64)
    assert upload(data, "x.csv") == whole
    assert upload.output.read_bytes() == content
    kinds = {"7": int, "7.5": float, "seven": str, "2026-01-01": str, "": int}
    assert {type(row["c"]) for row in whole if row["c"] is not None} == {kinds[last]}


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([(4, "13800138123"), (5, "12000000001")], "integer"),
        ([(5, "13800138123"), (4, "12000000001")], "text"),
        ([(1, "12000000001"), (3, "13800138123"), (3, "12000000001")], "integer"),
        ([(1, "12000000001"), (4, "13800138123"), (3, "12000000001")], "integer"),
        ([(4, "12000000001"), (6, "13800138123")], "text"),
        ([(3, "13800138123"), (2, ""), (1, "12000000001"), (2, "1.5")], "number"),
    ],
)
@pytest.mark.parametrize("block", [1, 80, 160, 250, 400, 1 << 20])
def test_share_of_phone_numbers_does_not_depend_on_chunks(
    upload: Upload,
    monkeypatch: pytest.MonkeyPatch,
    parts: list[tuple[int, str]],
    kind: str,
    block: int,
) -> None:
    monkeypatch.setattr(csv_module, "BLOCK_BYTES", block)
    values = [value for count, value in parts for _ in range(count)]
    pad = "p" * 60
    rows = upload("\n".join(["id,pad", *(f"{v},{pad}" for v in values), ""]).encode(), "x.csv")
    assert types(upload) == {"id": kind, "pad": "text"}
    read = {"integer": int, "number": float, "text": str}[kind]
    assert [row["id"] for row in rows] == [read(value) if value else None for value in values]


def test_evidence_does_not_depend_on_the_order_of_values() -> None:
    import pyarrow as pa

    values = ["1", "2.5", "NA", "13812345678"]
    for order in (values, values[::-1]):
        evidence = Evidence()
        for value in order:
            evidence.add(pa.array([value]))
        assert evidence.decide("c").label == "number"


class TestUploaderTypes:
    def test_given_types_replace_inferred_ones(self, upload: Upload) -> None:
        data = b"a,b,c,d,e\n1,yes,007,2026-01-01,5\n2,N,008,NA,6\n"
        told = {"a": "text", "b": "boolean", "c": "integer", "d": "timestamp", "e": "number"}
        rows = upload(data, "x.csv", types=told)
        assert types(upload) == told
        assert rows[1] == {"a": "2", "b": False, "c": 8, "d": None, "e": 6.0}
        assert upload.found["types"] == told

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("integer", "1.5"), ("number", "x"), ("boolean", "2"), ("date", "2026-02-30"),
         ("timestamp", "soon")],
    )  # fmt: skip
    def test_value_that_does_not_fit_is_refused_with_its_line(
        self, upload: Upload, kind: str, value: str
    ) -> None:
        error = upload.error(column("", value), "x.csv", types={"c": kind})
        assert (error.reason, error.line) == ("type_unfit", 3)
        assert kind in error.message
        assert value in error.message

    def test_value_that_does_not_fit_is_set_aside(self, upload: Upload) -> None:
        rows = upload(column("1", "x"), "x.csv", types={"c": "integer"}, bad_rows="quarantine")
        assert [row["c"] for row in rows] == [1]
        assert [row["reason"] for row in upload.quarantined()] == ["type_unfit"]

    def test_type_of_an_unknown_column_is_refused(self, upload: Upload) -> None:
        error = upload.error(column("1"), "x.csv", types={"nosuch": "text"})
        assert error.reason == "column_unknown"

    def test_other_type_for_a_text_column_of_a_shape_is_refused(self, upload: Upload) -> None:
        error = upload.error(b"text,label\n1,2\n", "x.csv", types={"text": "integer"})
        assert error.reason == "type_of_content"
        assert "type_of_content" in REASONS


class TestPreviousTypes:
    """Tests of types from the previous version."""

    def read(self, upload: Upload, data: bytes, held: dict[str, str], name: str = "x.csv") -> Any:
        source = upload.directory / "given"
        source.write_bytes(data)
        upload.found = ingest(source, upload.output, filename=name, previous_types=held)
        return list(iter_rows(upload.output))

    @pytest.mark.parametrize(
        ("held", "values", "kind"),
        [
            ("text", ["1", "2"], "text"),
            ("number", ["1", "2"], "number"),
            ("integer", ["123456789012345678"], "integer"),
            ("integer", [""], "integer"),
            ("date", ["NA"], "date"),
            ("integer", ["1.5"], "number"),
            ("integer", ["x"], "text"),
            ("timestamp", ["2026-01-01"], "timestamp"),
            ("date", ["2026-01-01 10:00"], "timestamp"),
            ("json", ["1"], "integer"),
        ],
    )
    def test_type_is_kept_if_all_values_fit(
        self, upload: Upload, held: str, values: list[str], kind: str
    ) -> None:
        self.read(upload, column(*values), {"c": held, "other": "text"})
        assert types(upload)["c"] == kind
        changed = [{"column": "c", "before": held, "after": kind}]
        assert upload.found.get("retyped") == (None if held == kind else changed)

    def test_date_is_kept_in_other_formats(self, upload: Upload) -> None:
        self.read(upload, jsonl({"c": "2026-01-01"}), {"c": "date"}, "x.jsonl")
        assert types(upload) == {"c": "date"}
        self.read(upload, jsonl({"c": "soon"}), {"c": "date"}, "x.jsonl")
        assert types(upload) == {"c": "text"}


class TestEarlierUploaderTypes:
    """Tests of types that an uploader set for an earlier version."""

    def read(self, upload: Upload, data: bytes, name: str = "b.csv", **options: Any) -> None:
        source = upload.output.with_name(name)
        source.write_bytes(data)
        upload.found = ingest(source, upload.output, filename=name, **options)

    def test_type_is_kept_instead_of_the_inferred_one(self, upload: Upload) -> None:
        named = {"c": "text", "other": "text", "gone": "date"}
        self.read(upload, column("1", "2"), previous_types=named, explicit_types=named)
        assert types(upload) == {"c": "text", "other": "text"}
        assert upload.found["named"] == named

    def test_spellings_that_inference_rejects_are_accepted(self, upload: Upload) -> None:
        self.read(
            upload,
            column("yes", "no"),
            previous_types={"c": "boolean"},
            explicit_types={"c": "boolean"},
        )
        assert [row["c"] for row in iter_rows(upload.output)] == [True, False]

    def test_value_that_does_not_fit_is_refused_with_place_and_advice(self, upload: Upload) -> None:
        with pytest.raises(MalformedData) as refused:
            self.read(
                upload,
                column("1", "x9"),
                previous_types={"c": "integer"},
                explicit_types={"c": "integer"},
            )
        text = str(refused.value)
        assert all(part in text for part in ("line 3", "“c”", "integer", "x9", "--type"))
        assert refused.value.reason == "type_kept_unfit"

    def test_type_given_now_takes_precedence(self, upload: Upload) -> None:
        reading = Reading(types={"c": "text"})
        self.read(upload, column("x9"), explicit_types={"c": "integer"}, reading=reading)
        assert (types(upload)["c"], upload.found["named"]) == ("text", {"c": "text"})

    def test_typed_formats_ignore_earlier_types(self, upload: Upload) -> None:
        self.read(
            upload,
            jsonl({"c": "x", "d": 1}),
            "b.jsonl",
            explicit_types={"c": "integer", "e": "date"},
        )
        assert types(upload) == {"c": "text", "d": "integer"}
        assert upload.found["named"] == {"e": "date"}

    def test_text_column_of_a_shape_stays_text(self, upload: Upload) -> None:
        self.read(upload, b"prompt,completion\n1,2\n", explicit_types={"prompt": "integer"})
        assert types(upload)["prompt"] == "text"


class TestDates:
    def positions(self, upload: Upload, op: str, value: Any) -> list[int]:
        where = [Condition(column="at", op=op, value=value)]  # type: ignore[arg-type]
        return search(upload.output, 0, 100, where=where, seconds=10).positions

    def test_comparisons_use_time_instead_of_spelling(self, upload: Upload) -> None:
        upload(
            b"at,n\n2026-01-31T23:00:00-02:00,1\n2026-02-01T00:30:00Z,2\n,3\n"
            b"2026-02-01T02:00:00.5Z,4\n",
            "x.csv",
        )
        assert types(upload)["at"] == "timestamp"
        assert self.positions(upload, ">", "2026-02-01T00:30:00Z") == [0, 3]
        assert self.positions(upload, "<=", "2026-02-01 00:30") == [1]
        assert self.positions(upload, "==", "2026-02-01T01:00:00Z") == [0]
        assert self.positions(upload, "!=", "2026-02-01T01:00:00Z") == [1, 2, 3]
        assert self.positions(upload, "in", ["2026-02-01T01:00Z", "2026-02-01T02:00:00.5Z"]) == [
            0,
            3,
        ]
        assert self.positions(upload, "missing", None) == [2]
        assert self.positions(upload, ">=", "2026-02-01") == [0, 1, 3]

    def test_comparison_with_a_value_that_is_no_date_is_refused(self, upload: Upload) -> None:
        upload(b"at\n2026-01-31\n", "x.csv")
        from aiplatform.data.errors import MalformedData

        for value in ("soon", 5, None, "2026-02-30"):
            with pytest.raises(MalformedData) as caught:
                self.positions(upload, ">", value)
            assert caught.value.reason == "condition_type"

    @pytest.mark.parametrize(
        ("added", "kind"),
        [({"at": "2026-02-01", "n": 2}, "date"), ({"at": "soon", "n": 2}, "text"),
         ({"at": None, "n": 2}, "date"), ({"n": 2}, "date")],
    )  # fmt: skip
    def test_added_rows_keep_the_type_if_they_fit(
        self, upload: Upload, tmp_path: Path, added: Any, kind: str
    ) -> None:
        upload(b"at,n\n2026-01-31,1\n", "x.csv")
        job = {
            "base": upload.output,
            "output": tmp_path / "out",
            "do": {"operation": "patch", "patch": {"add": [added]}},
        }
        [made] = execute(Job.model_validate(job))["outputs"]
        assert [c["type"] for c in made["columns"]] == [kind, "integer"]


@pytest.mark.parametrize(
    ("data", "doubted"),
    [
        (b"5.1,3.5,setosa\n4.9,3.0,setosa\n", True),
        (b"good,spam\nbad,ham\nfine,spam\nhm,ham\nwell,spam\n", True),
        (b"sepal,petal,species\n4.9,3.0,setosa\n", False),
        (b"country,2019,2020\nCN,1,2\n", False),
        (b"2026-01-01,x\n2026-01-02,y\n", True),
    ],
)
def test_header_that_looks_like_a_row_gives_a_warning(
    upload: Upload, data: bytes, doubted: bool
) -> None:
    upload(data, "x.csv")
    assert ("header_doubt" in upload.found) is doubted
    upload(data, "x.csv", header=True)
    assert "header_doubt" not in upload.found


def test_csv_numbers_mapped_to_an_answer_become_text(upload: Upload, tmp_path: Path) -> None:
    upload(b"frage,antwort\na b,42\nc d,7\n", "x.csv")
    assert types(upload)["antwort"] == "integer"
    mapped = {"frage": "prompt", "antwort": "completion"}
    job = {
        "base": upload.output,
        "output": tmp_path / "out",
        "do": {"operation": "map", "map": mapped},
    }
    [made] = execute(Job.model_validate(job))["outputs"]
    assert [row["completion"] for row in iter_rows(Path(made["path"]))] == ["42", "7"]
