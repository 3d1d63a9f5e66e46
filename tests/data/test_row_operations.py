"""Tests of operations on rows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.data import row_operations
from aiplatform.data.canonical import CanonicalWriter, iter_rows
from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import ingest
from aiplatform.data.operation_specs import Job
from aiplatform.protocol.reading_options import Reading
from tests.data.conftest import Do, Make, Rows


class SchemasOnly:
    """A replacement for ``pyarrow.parquet`` with only the functions that streaming may use."""

    read_schema = staticmethod(pq.read_schema)


BASE: Rows = [{"id": n, "text": f"text {n}", "meta": {"n": [n]}} for n in range(6)]


class TestAppend:
    def test_append_adds_rows_at_the_end(self, do: Do) -> None:
        more = [{"id": 9, "text": "new", "meta": None}]
        answer = do(BASE, "append", more)
        assert answer["rows"][0] == [*BASE, *more]
        assert (answer["added"], answer["changed"], answer["deleted"]) == (1, 0, 0)

    def test_append_other_columns_and_types_widen_the_schema(self, do: Do) -> None:
        base = [{"text": "a", "x": 1}, {"text": "b", "x": 2}]
        answer = do(base, "append", [{"text": "c", "x": 0.5, "y": True}])
        assert answer["rows"][0] == [
            {"text": "a", "x": 1, "y": None},
            {"text": "b", "x": 2, "y": None},
            {"text": "c", "x": 0.5, "y": True},
        ]
        answer = do(base, "append", [{"text": "c", "x": "one"}])
        assert [row["x"] for row in answer["rows"][0]] == [1, 2, "one"]
        assert answer["outputs"][0]["columns"][1] == {"name": "x", "type": "json"}

    def test_append_conversations_with_and_without_extras_is_lossless(self, do: Do) -> None:
        plain = [{"messages": [{"role": "user", "content": "q"}]}, {"messages": None}]
        call = [{"messages": [{"role": "assistant", "content": None, "tool_calls": [1]}]}]
        for first, second in ((plain, call), (call, plain)):
            made = do(first, "append", second)
            assert made["rows"][0] == [*first, *second]
            assert made["outputs"][0]["columns"] == [{"name": "messages", "type": "messages"}]

    def test_missing_values_change_no_type(self, do: Do) -> None:
        base = [{"text": "a", "x": 1, "y": 0.5}, {"text": "b", "x": 2, "y": None}]
        answer = do(base, "append", [{"text": "c", "x": None, "y": None, "z": None}])
        assert answer["rows"][0] == [
            {"text": "a", "x": 1, "y": 0.5, "z": None},
            {"text": "b", "x": 2, "y": None, "z": None},
            {"text": "c", "x": None, "y": None, "z": None},
        ]
        types = [column["type"] for column in answer["outputs"][0]["columns"]]
        assert types == ["text", "integer", "number", "text"]

    @pytest.mark.usefixtures("small_groups")
    def test_append_considers_values_of_all_row_groups(self, do: Do) -> None:
        more: Rows = [{"text": f"{n}", "x": None} for n in range(20)]
        more[3]["x"] = "three"
        answer = do([{"text": "a", "x": 1}], "append", more)
        assert [row["x"] for row in answer["rows"][0][:6]] == [1, None, None, None, "three", None]
        assert answer["outputs"][0]["columns"][1]["type"] == "json"

    @pytest.mark.usefixtures("small_groups")
    def test_append_reads_the_new_file_in_batches(
        self, do: Do, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        longest = []
        write = CanonicalWriter.write

        def noted(writer: CanonicalWriter, batch: pa.RecordBatch) -> None:
            longest.append(batch.num_rows)
            write(writer, batch)

        monkeypatch.setattr(row_operations, "pq", SchemasOnly())
        monkeypatch.setattr(CanonicalWriter, "write", noted)
        more: Rows = [{"id": n, "text": "new", "meta": None} for n in range(100)]
        answer = do(BASE, "append", more)
        assert answer["rows"][0] == [*BASE, *more]
        assert answer["added"] == 100
        assert max(longest[-10:]) <= 10

    def test_append_rows_of_another_shape_is_refused(self, do: Do) -> None:
        with pytest.raises(MalformedData, match="chat, but the dataset has the shape text"):
            do([{"text": "a"}], "append", [{"messages": [{"role": "user", "content": "q"}]}])

    def test_adding_rows_that_change_a_content_type_is_refused(self, do: Do) -> None:
        asked = [{"role": "user", "content": "q"}]
        base = [{"prompt": "a", "completion": "b", "n": 1}]
        match = "“prompt” is a column that training reads, and has the type text"
        with pytest.raises(MalformedData, match=match):
            do(base, "append", [{"prompt": asked, "completion": "b", "n": 1}])
        for odd in (5, ["x"], asked):
            with pytest.raises(MalformedData, match="“prompt” is a column that training reads"):
                do(base, "upsert", [{"n": 1, "prompt": odd}], key="n")
        talks = [{"messages": asked, "n": 1}]
        with pytest.raises(MalformedData, match="“messages” is a column that training reads"):
            do(talks, "upsert", [{"n": 1, "messages": "[]"}], key="n")
        labels: Rows = [{"text": "a", "label": 1}, {"text": "b", "label": 2}]
        made = do(labels, "upsert", [{"text": "a", "label": "one"}], key="text")
        assert [row["label"] for row in made["rows"][0]] == ["one", 2]
        rated = [{"prompt": "a", "completion": "b", "label": True}]
        with pytest.raises(MalformedData, match="“label” is a column that training reads"):
            do(rated, "upsert", [{"prompt": "a", "label": "good"}], key="prompt")

    def test_append_gives_the_same_bytes_as_one_upload(self, do: Do, make: Make) -> None:
        answer = do(BASE[:3], "append", BASE[3:])
        assert Path(answer["outputs"][0]["path"]).read_bytes() == make(BASE).read_bytes()


class TestByKey:
    def test_upsert_replaces_and_adds_rows(self, do: Do) -> None:
        answer = do(BASE, "upsert", [{"id": 8, "text": "new"}, {"id": 2, "text": "two"}], key="id")
        expected: Rows = [dict(row) for row in BASE]
        expected[2]["text"] = "two"
        expected.append({"id": 8, "text": "new", "meta": None})
        assert answer["rows"][0] == expected
        assert (answer["added"], answer["changed"], answer["deleted"]) == (1, 1, 0)

    def test_delete_removes_rows_by_key(self, do: Do) -> None:
        answer = do(BASE, "delete", [{"id": 1}, {"id": 99}], key="id")
        assert [row["id"] for row in answer["rows"][0]] == [0, 2, 3, 4, 5]
        assert answer["deleted"] == 1

    def test_delete_with_text_keys_finds_integers(self, do: Do) -> None:
        """Use keys from a CSV file, which are text because CSV has no types."""
        answer = do(BASE, "delete", [{"id": "1"}], key="id")
        assert answer["deleted"] == 1

    @pytest.mark.parametrize(
        ("rows", "key", "match"),
        [
            ([{"id": 1}, {"id": 1}], "id", "two rows have the key 1"),
            ([{"id": 1}, {"id": None}], "id", "some rows have no"),
            ([{"id": 1}], "no", "no column “no”"),
            ([{"text": "x"}], "id", "no column “id”"),
            ([{"id": "one"}], "id", "can't be a key"),
            ([{"id": 1.5}], "id", "can't be a key"),
        ],
    )
    def test_delete_with_invalid_keys_is_refused(
        self, do: Do, rows: Rows, key: str, match: str
    ) -> None:
        with pytest.raises(MalformedData, match=match):
            do(BASE, "delete", rows, key=key)

    @pytest.mark.parametrize("operation", ["upsert", "delete"])
    def test_keys_of_several_types_are_refused(self, do: Do, operation: str) -> None:
        """Use a column of mixed types, where text is quoted as JSON and so would match nothing."""
        mixed: Rows = [{"id": 1, "text": "a"}, {"id": "b", "text": "b"}]
        texts: Rows = [{"id": "b", "text": "new"}]
        with pytest.raises(MalformedData, match="can't be a key"):
            do(mixed, operation, texts, key="id")
        with pytest.raises(MalformedData, match="can't be a key"):
            do(texts, operation, mixed, key="id")

    def test_missing_values_change_no_type(self, do: Do) -> None:
        base: Rows = [{"id": 1, "text": "a", "x": 1}, {"id": 2, "text": "b", "x": 2}]
        answer = do(base, "upsert", [{"id": 2, "x": None}], key="id")
        assert answer["rows"][0] == [base[0], {"id": 2, "text": "b", "x": None}]
        assert answer["outputs"][0]["columns"][2]["type"] == "integer"

    def test_delete_of_all_rows_is_refused(self, do: Do) -> None:
        with pytest.raises(MalformedData, match="no rows"):
            do(BASE[:1], "delete", [{"id": 0}], key="id")


class TestPatch:
    def test_patch_sets_adds_and_deletes_rows(self, do: Do) -> None:
        answer = do(
            BASE,
            "patch",
            patch={
                "set": [{"row": 3, "values": {"text": None, "meta": {"a": 1}}}],
                "add": [{"id": 7, "text": "seven"}],
                "delete": [0, 5],
            },
        )
        assert answer["rows"][0] == [
            *BASE[1:3],
            {"id": 3, "text": None, "meta": {"a": 1}},
            BASE[4],
            {"id": 7, "text": "seven", "meta": None},
        ]
        assert (answer["added"], answer["changed"], answer["deleted"]) == (1, 1, 2)

    def test_missing_values_change_no_type(self, do: Do) -> None:
        base: Rows = [{"text": "a", "x": None}, {"text": "b", "x": 2.5}]
        row = {"text": "c", "x": None}
        answer = do(base, "patch", patch={"set": [{"row": 1, "values": row}]})
        assert answer["rows"][0] == [base[0], row]
        assert answer["outputs"][0]["columns"][1]["type"] == "number"

    def test_patch_with_an_invalid_row_is_refused(self, do: Do) -> None:
        chat = [{"messages": [{"role": "user", "content": "q"}]}] * 3
        bad = {"messages": [{"role": "wizard", "content": "q"}]}
        with pytest.raises(MalformedData, match=r"line 1: .*wizard"):
            do(chat, "patch", patch={"set": [{"row": 1, "values": bad}]})

    @pytest.mark.parametrize(
        ("patch", "match"),
        [
            ({"delete": [6]}, "there is no row 6"),
            ({"set": [{"row": 60, "values": {"text": "x"}}]}, "there is no row 60"),
            ({"set": [{"row": 0, "values": {"texd": "x"}}]}, "no column “texd”"),
        ],
    )
    def test_patch_of_an_unknown_row_or_column_is_refused(
        self, do: Do, patch: Any, match: str
    ) -> None:
        with pytest.raises(MalformedData, match=match):
            do(BASE, "patch", patch=patch)

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_patch_changes_rows_like_a_list(self, do: Do, data: st.DataObject) -> None:
        values = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
        base = data.draw(st.lists(st.fixed_dictionaries({"text": values}), min_size=1, max_size=20))
        positions = st.sets(st.integers(0, len(base) - 1))
        changed = data.draw(positions)
        deleted = data.draw(positions) - changed
        add = data.draw(st.lists(st.fixed_dictionaries({"text": values}), max_size=3))
        change = {position: data.draw(values) for position in sorted(changed)}
        patch = {
            "set": [
                {"row": position, "values": {"text": text}} for position, text in change.items()
            ],
            "delete": sorted(deleted),
            "add": add,
        }
        expected = [
            {"text": change.get(position, row["text"])}
            for position, row in enumerate(base)
            if position not in deleted
        ] + add
        if not expected or not (changed or deleted or add):
            return
        assert do(base, "patch", patch=patch)["rows"][0] == expected


def test_program_prints_outputs_or_the_error_as_json(make: Make, tmp_path: Path) -> None:
    where = [{"column": "id", "op": "<", "value": 2}]
    job = {
        "base": str(make(BASE)),
        "output": str(tmp_path / "out"),
        "do": {"operation": "filter", "filter": {"where": where}},
    }
    (tmp_path / "job").write_text(json.dumps(job))
    program = [sys.executable, "-m", "aiplatform.data.row_operations"]
    command = [*program, "--job", str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ)
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert answer["outputs"][0]["rows"] == 2
    where[0]["column"] = "nothing"
    (tmp_path / "job").write_text(json.dumps(job))
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ)
    assert json.loads(done.stdout)["reason"] == "column_unknown"


TYPED: Rows = [
    {"id": n, "text": f"t{n}", "score": n / 2, "good": n % 2 == 0, "any": n if n % 2 else "x"}
    for n in range(4)
]


@pytest.fixture
def by_csv(tmp_path: Path, make: Make) -> Any:
    """Return a function that applies a CSV file to rows; its result has the new rows and types."""

    def by_csv(
        base: Rows, operation: str, content: str, reading: Reading | None = None, **facts: Any
    ) -> Any:
        source = tmp_path / "rows.csv"
        source.write_text(content)
        ingest(source, tmp_path / "given", filename="rows.csv", reading=reading)
        do = {"operation": operation, "rows": tmp_path / "given", **facts}
        job = {"base": make(base), "output": tmp_path / "made", "do": do}
        answer = row_operations.execute(Job.model_validate(job))
        answer["rows"] = list(iter_rows(Path(answer["outputs"][0]["path"])))
        answer["types"] = [c["type"] for c in answer["outputs"][0]["columns"]]
        return answer

    return by_csv


class TestCsvRows:
    """Tests of adding rows from CSV, whose values get the types of the column they are added to."""

    KINDS = ("integer", "text", "number", "boolean", "json")

    def test_added_csv_rows_take_the_types_of_the_base(self, by_csv: Any) -> None:
        content = "id,text,score,good,any\n2,007,1.50,FALSE,y\n9,new,,true,\n"
        new = [
            {"id": 2, "text": "007", "score": 1.5, "good": False, "any": "y"},
            {"id": 9, "text": "new", "score": None, "good": True, "any": None},
        ]
        made = by_csv(TYPED, "upsert", content, key="id")
        assert made["rows"] == [*TYPED[:2], new[0], TYPED[3], new[1]]
        assert tuple(made["types"]) == self.KINDS
        made = by_csv(TYPED, "append", content)
        assert made["rows"] == [*TYPED, *new]
        assert tuple(made["types"]) == self.KINDS

    def test_fractions_added_to_integers_make_a_number_column(self, by_csv: Any) -> None:
        made = by_csv([{"id": 1, "text": "a", "n": 3}], "append", "id,text,n\n2,b,0.5\n")
        assert [row["n"] for row in made["rows"]] == [3.0, 0.5]
        assert made["types"] == ["integer", "text", "number"]

    @pytest.mark.usefixtures("small_groups")
    @pytest.mark.parametrize("operation", ["append", "upsert"])
    def test_one_value_that_does_not_fit_keeps_all_added_values_as_text(
        self, by_csv: Any, operation: str
    ) -> None:
        lines = [f"{n},b,{n}" for n in range(10, 40)]
        content = "\n".join(["id,text,n", *lines, "40,b,about 5"])
        key = {"key": "id"} if operation == "upsert" else {}
        made = by_csv([{"id": 1, "text": "a", "n": 3}], operation, content, **key)
        assert [row["n"] for row in made["rows"]] == [3, *map(str, range(10, 40)), "about 5"]
        assert made["types"] == ["integer", "text", "json"]

    @pytest.mark.parametrize(
        ("held", "values", "read", "kind"),
        [
            (7, ["007", "5"], ["007", "5"], "json"),
            (7, ["0x10"], ["0x10"], "json"),
            (7, ["+5", "6"], ["+5", "6"], "json"),
            (0.5, ["1.5", "007"], ["1.5", "007"], "json"),
            (0.5, ["inf"], ["inf"], "json"),
            (True, ["tRUE"], ["tRUE"], "json"),
            (7, ["123456789012345678"], [123456789012345678], "integer"),
            (7, ["13800138000", "13900139000"], [13800138000, 13900139000], "integer"),
            (7, ["NA", "5"], [None, 5], "integer"),
        ],
    )
    @pytest.mark.parametrize("operation", ["append", "upsert"])
    def test_added_rows_are_typed_like_a_new_version(
        self, by_csv: Any, upload: Any, operation: str, held: Any, values: list[str],
        read: list[Any], kind: str,
    ) -> None:  # fmt: skip
        """Check that added rows keep their values exactly, with the types of a new version."""
        content = "\n".join(["id,text,n", *(f"{n},b,{v}" for n, v in enumerate(values, 10)), ""])
        key = {"key": "id"} if operation == "upsert" else {}
        made = by_csv([{"id": 1, "text": "a", "n": held}], operation, content, **key)
        assert [row["n"] for row in made["rows"]] == [held, *read]
        assert made["types"][2] == kind
        before = {bool: "boolean", int: "integer", float: "number"}[type(held)]
        source = upload.directory / "whole.csv"
        source.write_text(content)
        found = ingest(source, upload.output, filename="whole.csv", previous_types={"n": before})
        assert (found["columns"][2]["type"] == before) == (kind == before)

    @pytest.mark.parametrize("operation", ["append", "upsert"])
    def test_types_set_by_the_uploader_are_kept(self, by_csv: Any, operation: str) -> None:
        key = {"key": "id"} if operation == "upsert" else {}
        base: Rows = [{"id": 1, "text": "a", "zip": 7}]
        content = "id,text,zip\n2,b,9\n"
        made = by_csv(
            base,
            operation,
            content,
            reading=Reading(types={"zip": "text"}),
            explicit_columns=["zip"],
            **key,
        )
        assert [row["zip"] for row in made["rows"]] == [7, "9"]
        assert by_csv(base, operation, content, **key)["rows"][1]["zip"] == 9

    @pytest.mark.parametrize("operation", ["upsert", "delete"])
    @pytest.mark.parametrize("key", ["007", "0x7", "+7"])
    def test_key_with_another_spelling_of_the_number_is_refused(
        self, by_csv: Any, operation: str, key: str
    ) -> None:
        with pytest.raises(MalformedData, match="can't be a key"):
            by_csv([{"id": 7, "text": "a"}], operation, f"id,text\n{key},b\n", key="id")

    def test_key_keeps_the_type_of_the_base(self, by_csv: Any, do: Do) -> None:
        """Use a base whose keys came from CSV as text, and added rows whose keys are integers."""
        base: Rows = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
        made = do(base, "upsert", [{"id": 2, "text": "B"}, {"id": 3, "text": "C"}], key="id")
        assert made["rows"][0] == [
            base[0], {"id": "2", "text": "B"}, {"id": "3", "text": "C"},
        ]  # fmt: skip
        made = by_csv(TYPED, "delete", "id\n3\n", key="id")
        assert [row["id"] for row in made["rows"]] == [0, 1, 2]
