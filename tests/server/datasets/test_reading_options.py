"""Tests of the options for reading an uploaded file, and of the quarantine for unreadable rows."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.settings import get_settings
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import number
from tests.server.datasets.conftest import jsonl

Upload = Callable[..., Any]
StoredState = Callable[[], dict[str, Any]]
ROWS = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(20)]


def version_of(mine: Api, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    made = answer.json()
    uuid = made.get("dataset", made["uuid"])
    shown: dict[str, Any] = mine.get(f"datasets/{uuid}/versions/{made['version']}").json()
    return shown


def quarantined_rows(mine: Api, version: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"datasets/{version['dataset']}/versions/{version['version']}/content"
    answer = mine.get(path, params={"format": "quarantine"})
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return [json.loads(line) for line in answer.content.splitlines()]


class TestQuarantine:
    def test_bad_rows_are_counted_and_can_be_fetched(
        self, upload: Upload, mine: Api, session: Session
    ) -> None:
        answer = upload(jsonl(ROWS) + b"{\n", bad_rows="quarantine")
        version = version_of(mine, answer)
        assert version["row_count"] == 20
        aside = version["read_as"]["quarantined"]
        assert (aside["rows"], aside["reasons"]) == (1, {"json_invalid": 1})
        told = quarantined_rows(mine, version)
        assert [(row["line"], row["raw"]) for row in told] == [(21, "{")]
        assert told[0]["message"].startswith("line 21: ")
        row = session.scalars(
            select(AuditLog)
            .where(
                AuditLog.resource_id == version["dataset"],
                AuditLog.action == "dataset_version:created",
            )
        ).one()  # fmt: skip
        assert row.details["quarantined"]["rows"] == 1

    def test_too_many_bad_rows_are_refused_and_leave_nothing(
        self, upload: Upload, monkeypatch: pytest.MonkeyPatch, stored_state: StoredState
    ) -> None:
        monkeypatch.setattr(get_settings(), "quarantine_max_share", 0.04)
        before = stored_state()
        answer = upload(jsonl(ROWS) + b"{\n", bad_rows="quarantine")
        assert answer.status_code == 422
        assert "1 of 21 rows" in answer.json()["detail"]
        assert stored_state() == before

    def test_upload_without_bad_rows_has_no_quarantine_file(
        self, upload: Upload, mine: Api
    ) -> None:
        version = version_of(mine, upload(jsonl(ROWS), bad_rows="quarantine"))
        assert "quarantined" not in version["read_as"]
        path = f"datasets/{version['dataset']}/versions/v1/content"
        assert mine.get(path, params={"format": "quarantine"}).status_code == 404

    def test_bad_rows_of_an_append_are_set_aside(self, upload: Upload, mine: Api) -> None:
        uuid = upload(jsonl(ROWS)).json()["uuid"]
        answer = mine.post(
            f"datasets/{uuid}/versions",
            params={"filename": "x.jsonl", "mode": "append", "bad_rows": "quarantine"},
            content=jsonl(ROWS) + b"[]\n",
        )
        version = version_of(mine, answer)
        assert version["row_count"] == 40
        assert version["read_as"]["quarantined"]["rows"] == 1
        assert quarantined_rows(mine, version)[0]["reason"] == "json_not_object"

    def test_bad_rows_of_a_resumable_upload_are_set_aside(
        self, mine: Api, project: Project
    ) -> None:
        content = b"q;a\nx;y\n" * 1 + b"x;y\n" * 20 + b"x;y;z\n"
        facts = {
            "name": f"dataset {number()}",
            "filename": "rows.csv",
            "bad_rows": "quarantine",
            "delimiter": ";",
            "map": '{"q": "prompt", "a": "completion"}',
        }
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in facts.items()
        )
        begun = mine.post(
            f"projects/{project.uuid}/uploads",
            headers={
                "Upload-Length": str(len(content)),
                "Upload-Metadata": metadata,
                "Content-Type": "application/offset+octet-stream",
            },
            content=content,
        )
        assert begun.status_code == 201, begun.text
        uuid = begun.headers["aiplatform-dataset"]
        version = mine.get(f"datasets/{uuid}/versions/v1").json()
        assert version["shape"] == "prompt_completion"
        assert version["read_as"]["quarantined"]["reasons"] == {"csv_ragged": 1}
        assert version["read_as"]["dialect"]["delimiter"] == ";"


class TestOptions:
    def test_dialect_is_detected_and_can_be_overridden(self, upload: Upload, mine: Api) -> None:
        content = b"a;b,c\n1;2,3\n"
        found = version_of(mine, upload(content, filename="x.csv"))
        said = version_of(
            mine, upload(content, filename="x.csv", delimiter=";", quote="none", header="false")
        )
        assert found["read_as"] == {
            "encoding": "UTF-8",
            "dialect": {"delimiter": ",", "quote": '"', "header": True},
        }
        assert said["read_as"]["dialect"] == {"delimiter": ";", "quote": None, "header": False}
        assert [column["name"] for column in said["columns"]] == ["column_1", "column_2"]

    def test_columns_of_csv_are_typed_and_keep_their_types(self, upload: Upload, mine: Api) -> None:
        first = upload(b"id,score,day\n01,6.5,2026-01-31\n02,5,2026-02-01\n", filename="x.csv")
        found = version_of(mine, first)
        assert [column["type"] for column in found["columns"]] == ["text", "number", "date"]
        path = f"datasets/{found['dataset']}/versions"
        rows = mine.get(
            f"{path}/v1/rows",
            params={"where": '{"column": "score", "op": ">", "value": 6}'},
        ).json()["items"]
        assert rows == [{"id": "01", "score": 6.5, "day": "2026-01-31"}]
        data = b"id,score,day\n1,7,soon\n"
        second = mine.post(path, params={"filename": "x.csv"}, content=data).json()
        assert [column["type"] for column in second["columns"]] == ["text", "number", "text"]
        assert second["read_as"]["retyped"] == [
            {"column": "day", "before": "date", "after": "text"}
        ]
        options = {"filename": "x.csv", "types": '{"score": "integer"}', "parent": "v1"}
        third = mine.post(path, params=options, content=data).json()
        assert third["columns"][1] == {"name": "score", "type": "integer"}
        refused = mine.post(path, params={**options, "types": '{"day": "date"}'}, content=data)
        assert refused.status_code == 422
        assert "line 2: “day” should have the type date" in refused.json()["detail"]

    def test_named_types_are_kept_until_others_are_named(self, upload: Upload, mine: Api) -> None:
        first = version_of(
            mine, upload(b"n,z,m\n1,2,3\n", filename="x.csv", types='{"n": "integer", "z": "text"}')
        )
        path = f"datasets/{first['dataset']}/versions"

        def add(data: bytes, **more: str) -> Any:
            return mine.post(path, params={"filename": "x.csv", **more}, content=data)

        def types_of(made: Any) -> dict[str, str]:
            assert made.status_code == 201, made.text
            return {column["name"]: column["type"] for column in made.json()["columns"]}

        assert types_of(add(b"n,z,m\n4,5,x\n")) == {"n": "integer", "z": "text", "m": "text"}
        for more in ({}, {"mode": "append"}, {"mode": "upsert", "key": "z"}):
            refused = add(b"n,z,m\n1,5,x\nsix,8,x\n", **more)
            assert refused.status_code == 422, more
            detail = refused.json()["detail"]
            assert all(part in detail for part in ("line 3", "“n”", "integer", "six", "--type"))
        # Appended versions keep the named types, and so do versions without a named column.
        assert types_of(add(b"n,z,m\n9,9,x\n", mode="append"))["z"] == "text"
        assert types_of(add(b"z,m\n9,x\n")) == {"z": "text", "m": "text"}
        assert add(b"n,z,m\nsix,8,x\n").status_code == 422
        assert types_of(add(b"n,z,m\nsix,8,x\n", types='{"n": "text"}'))["n"] == "text"
        assert types_of(add(b"n,z,m\n7,8,x\n")) == {"n": "text", "z": "text", "m": "text"}
        zh = mine.post(
            path,
            params={"filename": "x.csv", "parent": "v1"},
            content=b"n\nsix\n",
            headers={"Accept-Language": "zh"},
        )
        assert "请更正该值" in zh.json()["detail"]

    def test_appended_csv_is_typed_as_named_or_by_its_values(
        self, upload: Upload, mine: Api
    ) -> None:
        first = version_of(mine, upload(b"id,n\n7,1\n", filename="x.csv"))
        path = f"datasets/{first['dataset']}/versions"
        options = {"filename": "x.csv", "mode": "append", "parent": "v1"}

        def appended(data: bytes, **more: str) -> list[Any]:
            made = mine.post(path, params={**options, **more}, content=data)
            assert made.status_code == 201, made.text
            rows = mine.get(f"{path}/{made.json()['version']}/rows").json()["items"]
            return [row["n"] for row in rows]

        assert appended(b"id,n\n8,2\n") == [1, 2]
        assert appended(b"id,n\n8,2\n", types='{"n": "text"}') == [1, "2"]
        assert appended(b"id,n\n8,007\n9,0x10\n") == [1, "007", "0x10"]
        upsert = {**options, "mode": "upsert", "key": "id"}
        refused = mine.post(path, params=upsert, content=b"id,n\n007,5\n")
        assert refused.status_code == 422
        assert "can't be a key" in refused.json()["detail"]

    def test_header_that_looks_like_a_row_is_reported(self, upload: Upload, mine: Api) -> None:
        version = version_of(mine, upload(b"5.1,setosa\n4.9,setosa\n", filename="x.csv"))
        assert "“5.1”" in version["read_as"]["header_doubt"]["en"]

    def test_encoding_must_be_named_if_it_is_not_recognised(
        self, upload: Upload, mine: Api
    ) -> None:
        content = "name\ncafé\n".encode("latin-1")
        assert upload(content, filename="x.csv").status_code == 422
        version = version_of(mine, upload(content, filename="x.csv", encoding="latin-1"))
        assert version["read_as"]["encoding"] == "Latin-1"

    @pytest.mark.parametrize(
        ("options", "option"),
        [
            ({"map": "nonsense"}, "map"),
            ({"map": '{"a": "nonsense"}'}, "map.a"),
            ({"map": '["a"]'}, "map"),
            ({"delimiter": ",,"}, "delimiter"),
            ({"quote": "ab"}, "quote"),
        ],
    )
    def test_invalid_option_is_refused_and_leaves_nothing(
        self, upload: Upload, options: dict[str, str], option: str, stored_state: StoredState
    ) -> None:
        before = stored_state()
        answer = upload(**options)
        assert answer.status_code == 422
        assert answer.json()["code"] == "dataset.invalid_reading_option"
        assert answer.json()["option"] == option
        assert stored_state() == before


class TestMapping:
    def test_upload_with_map_renames_columns(self, upload: Upload, mine: Api) -> None:
        rows = [{"frage": "x", "antwort": "y", "n": 1}]
        mapped = {"frage": "prompt", "antwort": "completion"}
        version = version_of(mine, upload(jsonl(rows), map=json.dumps(mapped)))
        assert version["shape"] == "prompt_completion"
        assert version["read_as"]["map"] == mapped
        page = mine.get(f"datasets/{version['dataset']}/versions/v1/rows").json()
        assert page["items"] == [{"prompt": "x", "completion": "y", "n": 1}]

    def test_upload_with_map_of_unknown_column_is_refused(self, upload: Upload) -> None:
        answer = upload(map='{"nowhere": "prompt"}')
        assert (answer.status_code, answer.json()["reason"]) == (422, "column_unknown")

    def test_map_commit_renames_columns_and_keeps_rows(self, upload: Upload, mine: Api) -> None:
        talk = [{"role": "user", "content": "hi", "name": "Lin"}]
        rows = [{"talk": talk, "id": 1, "extra": {"x": [1.5, None]}}, {"talk": [], "id": 2}]
        uuid = upload(jsonl(rows)).json()["uuid"]
        before = mine.get(f"datasets/{uuid}/versions/v1/rows").json()["items"]
        answer = mine.post(f"datasets/{uuid}/map", json={"map": {"talk": "messages"}})
        version = version_of(mine, answer)
        assert (version["version"], version["parent"], version["shape"]) == ("v2", "v1", "chat")
        assert version["made_by"]["map"] == {"talk": "messages"}
        assert version["message"] == "Mapped: talk to messages"
        after = mine.get(f"datasets/{uuid}/versions/v2/rows").json()["items"]
        assert after == [
            {"messages": row["talk"], **{k: v for k, v in row.items() if k != "talk"}}
            for row in before
        ]
        assert mine.get(f"datasets/{uuid}").json()["shape"] == "chat"
        # The same rows uploaded with the same map give the same file.
        direct = version_of(mine, upload(jsonl(rows), map='{"talk": "messages"}'))
        assert direct["file_hash"] == version["file_hash"]

    @pytest.mark.parametrize(
        "mapped",
        [{"x": "prompt"}, {"question": "label"}, {"question": "prompt", "answer": "prompt"}, {}],
    )
    def test_invalid_map_is_refused_and_leaves_nothing(
        self, upload: Upload, mine: Api, mapped: dict[str, str], stored_state: StoredState
    ) -> None:
        uuid = upload(jsonl([{"question": "x", "answer": 1}])).json()["uuid"]
        before = stored_state()
        assert mine.post(f"datasets/{uuid}/map", json={"map": mapped}).status_code == 422
        after = stored_state()
        # A copy of the rows is kept in the spool for a day, for the next reader.
        after["spooled"] = [n for n in after["spooled"] if not n.startswith("rows-")]
        before["spooled"] = [n for n in before["spooled"] if not n.startswith("rows-")]
        assert after == before


def test_downloaded_parquet_uploads_to_the_same_rows(upload: Upload, mine: Api) -> None:
    """Check that nested values, mixed types in a column, and extra message fields are preserved."""
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "f": {"x": [1]}}]}
    asked = {"role": "user", "content": "Look.", "name": "Lin"}
    rows = [
        {"messages": [asked, called], "meta": {"a": [1, {"b": None}]}, "any": 1, "n": 0.5},
        {"messages": [asked], "meta": None, "any": "1", "n": 2},
        {"messages": None, "meta": [], "any": "[1]", "n": None},
        {"messages": [], "meta": "{}", "any": {"x": "1"}, "n": 1e300},
    ]
    first = version_of(mine, upload(jsonl(rows)))
    path = f"datasets/{first['dataset']}/versions/v1"
    before = mine.get(f"{path}/rows").json()["items"]
    assert before == rows
    parquet = mine.get(f"{path}/content", params={"format": "parquet"}).content
    assert parquet.startswith(b"PAR1")
    again = version_of(mine, upload(parquet, filename="rows.parquet"))
    assert mine.get(f"datasets/{again['dataset']}/versions/v1/rows").json()["items"] == before
    assert (again["columns"], again["shape"]) == (first["columns"], first["shape"])
    # The file can be appended to the same rows, too.
    answer = mine.post(
        f"datasets/{first['dataset']}/versions",
        params={"filename": "rows.parquet", "mode": "append"},
        content=parquet,
    )
    assert answer.status_code == 201, answer.text
    rows_of = mine.get(f"datasets/{first['dataset']}/versions/v2/rows").json()["items"]
    assert rows_of == [*before, *before]
