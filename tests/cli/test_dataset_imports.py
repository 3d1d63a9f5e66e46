"""Tests of ``aiplatform datasets import``, ``map``, ``append`` and ``patch``."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TASK, D, P, Run, T, posted
from tests.client.fake import FakeServer, answer, page, sse
from tests.openapi_checks import Partial

VERSION = Partial({"uuid": D, "dataset": D, "version": "v2", "parent": "v1", "row_count": 4,
           "shape": "text"})  # fmt: skip
IMPORT = TASK | {"type": "dataset_import", "name": "import x", "result": {
    "dataset": D, "version": "v2"}}  # fmt: skip


@pytest.fixture
def fetching(world: FakeServer) -> FakeServer:
    world.on(f"POST projects/{P}/dataset-imports", answer(IMPORT, 202))
    world.on(f"GET tasks/{T}", answer(IMPORT))
    world.on(f"GET tasks/{T}/events", sse(("1", "end", {"status": "completed"})))
    world.on(f"GET datasets/{D}/versions/v2", answer(VERSION))
    return world


class TestImport:
    @pytest.mark.parametrize(
        ("arguments", "source"),
        [
            (["https://example.com/a.csv?x=1"],
             {"kind": "url", "url": "https://example.com/a.csv?x=1"}),
            (["s3://bucket/key.jsonl", "--region", "eu-1", "--endpoint", "https://s3.test"],
             {"kind": "s3", "uri": "s3://bucket/key.jsonl", "region": "eu-1",
              "endpoint": "https://s3.test"}),
            (["hub:owner/name@main", "--split", "train", "--subset", "en"],
             {"kind": "hub", "repository": "owner/name", "revision": "main", "split": "train",
              "subset": "en"}),
        ],
        ids=["url", "s3", "hub"],
    )  # fmt: skip
    def test_import_sends_source_and_reading_options(
        self, fetching: FakeServer, run: Run, arguments: list[str], source: dict[str, Any]
    ) -> None:
        fetching.on(f"GET projects/{P}/datasets", page())
        ran = run("datasets", "import", *arguments, "--name", "new", "--detach",
                  "--map", "q=prompt", "--bad-rows", "quarantine", "--encoding", "gb18030",
                  "--delimiter", "tab",
                  "--quote", "none", "--no-header", "--secret", "HTTP_TOKEN=web")  # fmt: skip
        assert ran.code == 0, ran.err
        body = posted(fetching, "/dataset-imports")
        assert body["source"] == source
        assert (body["name"], body["dataset"], body["mode"]) == ("new", None, "replace")
        read = {"map": {"q": "prompt"}, "bad_rows": "quarantine", "encoding": "gb18030",
                "delimiter": "\t", "quote": "none", "header": False}  # fmt: skip
        assert {key: body[key] for key in read} == read
        assert body["secrets"] == {"HTTP_TOKEN": "web"}

    def test_import_into_an_existing_dataset_sends_mode_and_key(
        self, fetching: FakeServer, run: Run
    ) -> None:
        ran = run("datasets", "import", "https://example.com/faq.jsonl", "--mode", "upsert",
                  "--key", "id", "--parent", "v1")  # fmt: skip
        assert ran.code == 0, ran.err
        assert "faq v2: 4 rows, text." in ran.out + ran.err
        body = posted(fetching, "/dataset-imports")
        assert (body["name"], body["dataset"]) == (None, D)
        assert (body["mode"], body["key"], body["parent"]) == ("upsert", "id", "v1")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["ftp://example.com/x"], "hub:OWNER/NAME"),
            (["https://example.com/x", "--split", "train"], "--split"),
            (["https://example.com/x", "--mode", "upsert"], "--key"),
            (["https://example.com/x", "--key", "id"], "--key"),
            (["https://example.com/x", "--secret", "web"], "VARIABLE=NAME"),
            (["https://example.com/x", "--map", "prompt"], "COLUMN=WHAT"),
            (["https://example.com/x", "--map", "q=nonsense"], "map"),
        ],
    )
    def test_import_with_invalid_arguments_is_refused_without_a_request(
        self, fetching: FakeServer, run: Run, arguments: list[str], said: str
    ) -> None:
        ran = run("datasets", "import", *arguments)
        assert ran.code == 2
        assert said in ran.err
        assert fetching.count(f"POST projects/{P}/dataset-imports") == 0

    def test_import_append_to_a_missing_dataset_is_refused(
        self, fetching: FakeServer, run: Run
    ) -> None:
        ran = run("datasets", "import", "https://example.com/other.csv", "--mode", "append")
        assert ran.code != 0
        assert fetching.count(f"POST projects/{P}/dataset-imports") == 0


def test_map_sends_columns_and_message(world: FakeServer, run: Run) -> None:
    world.on(f"POST datasets/{D}/map", answer(VERSION, 201))
    ran = run("datasets", "map", "faq@v1", "a=b=prompt", "answer=completion", "--message", "named")
    assert ran.code == 0, ran.err
    assert posted(world, "/map") == {
        "map": {"a=b": "prompt", "answer": "completion"},
        "message": "named",
        "parent": "v1",
    }
    assert run("datasets", "map", "faq", "question").code == 2


READ_AS = {"map": json.dumps({"q": "prompt"}, separators=(",", ":")), "bad_rows": "quarantine",
           "delimiter": ";", "header": "false"}  # fmt: skip
OPTIONS = ("--map", "q=prompt", "--bad-rows", "quarantine", "--delimiter", ";", "--no-header")


class TestReadingOptions:
    @pytest.mark.parametrize(
        ("arguments", "more"),
        [
            (("patch", "faq", "FILE", "--key", "id"), {"mode": "upsert", "key": "id"}),
            (("patch", "faq", "FILE", "--key", "id", "--delete"), {"mode": "delete", "key": "id"}),
            (("append", "faq", "FILE"), {"mode": "append"}),
            (("upload", "FILE", "--name", "faq", "--no-wait"), {}),
        ],
        ids=["patch", "delete", "append", "upload"],
    )
    def test_reading_options_are_sent_with_the_file(
        self, world: FakeServer, run: Run, tmp_path: Path, arguments: tuple[str, ...],
        more: dict[str, str],
    ) -> None:  # fmt: skip
        file = tmp_path / "rows.csv"
        file.write_text("x;1\n")
        aside = {"rows": 2, "reasons": {"json_broken": 2}}
        made = VERSION | {"read_as": {"quarantined": aside}}
        world.on(f"POST datasets/{D}/versions", answer(made, 201))
        world.on(f"GET datasets/{D}/versions/v1", answer(made))
        ran = run("datasets", *(str(file) if a == "FILE" else a for a in arguments), *OPTIONS)
        assert ran.code == 0, ran.err
        [asked] = [r for r in world.requests if r.url.path.endswith("/versions")
                   and r.method == "POST"]  # fmt: skip
        params = dict(asked.url.params)
        sent = {**READ_AS, **more}
        assert {key: params.get(key) for key in sent} == sent
        assert "2 bad rows were set aside" in ran.out + ran.err

    @pytest.mark.parametrize("options", [OPTIONS, ("--type", "a=text")], ids=["all", "type"])
    def test_reading_options_without_a_file_are_refused(
        self, world: FakeServer, run: Run, options: tuple[str, ...]
    ) -> None:
        ran = run("datasets", "patch", "faq", "--set", "1.a=2", *options)
        assert ran.code == 2
        assert "need a file" in ran.err
        assert world.count(f"POST datasets/{D}/patch") == 0
