"""Tests of ``aiplatform datasets``: upload, changes, reports and deletion."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import DATASET, TASK, D, E, P, Run, T, posted
from tests.client.fake import FakeServer, answer, problem, sse
from tests.openapi_checks import Partial


def test_upload_creates_and_then_adds_versions(run: Run, world: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text('{"text": "a"}\n')
    finding = {
        "severity": "warning",
        "count": 2,
        "share": 0.5,
        "message": "2 rows are [b]double[/b]",
    }
    report = {"score": 90, "rows": 4, "findings": [finding]}
    created = DATASET | {"name": "new", "shape": "text", "quality_report": report}
    world.on(f"POST projects/{P}/datasets", answer(created, 201))
    world.on(f"GET datasets/{D}", answer(created))
    read_as = {
        "header_doubt": {"en": "the first line looks like a row", "zh": "…"},
        "retyped": [{"column": "day", "before": "date", "after": "text"}],
    }
    version = Partial({"uuid": D, "dataset": D, "version": "v1", "read_as": read_as})
    world.on(f"GET datasets/{D}/versions/v1", answer(version))
    world.on(f"GET datasets/{D}/versions/v1/gate", answer({"passed": True, "failures": []}))
    ran = run("datasets", "upload", str(file))
    assert ran.code == 0, ran.err
    assert "Warning: the first line looks like a row." in ran.err
    assert "Column day: text now, it was date." in ran.err
    assert "Score 90 of 100" in ran.out
    assert "2 rows are [b]double[/b]" in ran.out
    assert "Gate: passed" in ran.out
    assert "aiplatform datasets report new@v1" in ran.err
    assert b'{"text": "a"}\n' in world.bodies

    version = Partial({"uuid": E, "dataset": D, "version": "v2"})
    world.on(f"POST datasets/{D}/versions", answer(version, 201))
    assert run("datasets", "upload", str(file), "--name", "faq", "--no-wait").code == 0
    assert world.count(f"POST datasets/{D}/versions") == 1


def test_rm_asks_for_confirmation(
    run: Run, world: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = answer(status=204, purge_after="2026-12-24T08:00:00Z")
    world.on(f"DELETE datasets/{D}", deleted)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = run("datasets", "rm", "faq")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert world.count(f"DELETE datasets/{D}") == 0
    assert run("datasets", "rm", "faq", "--yes").code == 0
    assert world.count(f"DELETE datasets/{D}") == 1


class TestDatasetChanges:
    MADE = Partial({
        "uuid": D, "dataset": D, "version": "v2", "parent": "v1", "row_count": 5,
        "made_by": {"operation": "patch", "from": "v1", "added": 1, "changed": 2, "deleted": 0},
    })  # fmt: skip

    def made(self, change: str, *parts: Partial) -> httpx.Response:
        """Return the response to a change: a version, or the parts of a split."""
        return answer(Partial({"datasets": list(parts)}) if change == "split" else self.MADE, 201)

    def test_patch_sends_changes_by_row_number(
        self, world: FakeServer, run: Callable[..., Any]
    ) -> None:
        world.on(f"POST datasets/{D}/patch", answer(self.MADE, 201))
        ran = run("datasets", "patch", "faq", "--set", "3.label=spam", "--set", "3.n=2",
                  "--add", '{"text": "x"}', "--delete-row", "7")  # fmt: skip
        assert ran.code == 0, ran.err
        assert "v2, made from v1: 5 rows. 1 added, 2 changed" in ran.out + ran.err
        assert posted(world, "/patch") == {
            "set": [{"row": 3, "values": {"label": "spam", "n": 2}}],
            "add": [{"text": "x"}],
            "delete": [7],
            "message": None,
            "parent": None,
        }

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            (("patch", "faq@v1", "--delete-row", "3"), "parent"),
            (("filter", "faq@v1", "--where", "a == 1"), "parent"),
            (("split", "faq@v1", "--part", "a=1"), "version"),
        ],
    )
    def test_change_of_a_named_version_sends_it_as_parent(
        self, world: FakeServer, run: Run, arguments: tuple[str, ...], field: str
    ) -> None:
        made = self.made(arguments[0])
        world.on(f"POST datasets/{D}/{arguments[0]}", made)
        ran = run("datasets", *arguments)
        assert ran.code == 0, ran.err
        assert posted(world, f"/{arguments[0]}")[field] == "v1"

    @pytest.mark.parametrize("parent", ["v1", "v0"])
    def test_append_to_a_named_version_sends_it_as_parent(
        self, world: FakeServer, run: Run, tmp_path: Path, parent: str
    ) -> None:
        (tmp_path / "more.jsonl").write_text("{}\n")
        world.on(f"POST datasets/{D}/versions", answer(self.MADE, 201))
        explicit = () if parent == "v1" else ("--parent", parent)
        ran = run(
            "datasets", "append", "faq@v1", str(tmp_path / "more.jsonl"), *explicit, "--detach"
        )
        assert ran.code == 0, ran.err
        assert world.requests[-1].url.params["parent"] == parent

    @pytest.mark.parametrize("command", [("append",), ("patch", "--key", "id")])
    def test_change_with_allow_identical_sends_the_option(
        self, world: FakeServer, run: Run, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        (tmp_path / "more.jsonl").write_text("{}\n")
        world.on(f"POST datasets/{D}/versions", answer(self.MADE, 201))
        command = (command[0], "faq", str(tmp_path / "more.jsonl"), *command[1:])
        for option, sent in ((), None), (("--allow-identical",), "true"):
            ran = run("datasets", *command, *option, "--detach")
            assert ran.code == 0, ran.err
            assert world.requests[-1].url.params.get("allow_identical") == sent

    @pytest.mark.parametrize(
        "arguments",
        [
            ("filter", "faq", "--where", "a == 1"),
            ("patch", "faq", "--delete-row", "3"),
            ("restore", "faq@v1"),
            ("map", "faq", "a=prompt"),
            ("split", "faq", "--part", "a=0.5", "--part", "b=0.5"),
        ],
    )
    def test_change_waits_for_its_report_unless_detached(
        self, world: FakeServer, run: Run, arguments: tuple[str, ...]
    ) -> None:
        part = DATASET | {"status": "processing"}
        made = self.made(arguments[0], part)
        world.on(f"POST datasets/{D}/{arguments[0]}", made)
        ready = DATASET | {"version": "v2", "quality_report": {"score": 88, "findings": []}}
        states = [answer(DATASET | {"status": "processing"}), answer(ready)]
        world.on(f"GET datasets/{D}", *states)
        detached = run("datasets", *arguments, "--detach")
        assert detached.code == 0, detached.err
        before = world.count(f"GET datasets/{D}")
        world.on(f"GET datasets/{D}", *states)
        ran = run("datasets", *arguments)
        assert ran.code == 0, ran.err
        asked = world.count(f"GET datasets/{D}")
        assert asked >= before + 2

    def test_split_sends_the_given_names_of_parts(self, world: FakeServer, run: Run) -> None:
        world.on(f"POST datasets/{D}/split", answer({"datasets": []}, 201))
        ran = run("datasets", "split", "faq", "--part", "a=0.9", "--part", "b=0.1",
                  "--name", "b=held out = 1")  # fmt: skip
        assert ran.code == 0, ran.err
        assert posted(world, "/split")["fractions"] == {"a": 0.9, "b": 0.1}
        assert posted(world, "/split")["names"] == {"b": "held out = 1"}

    @pytest.mark.parametrize("named", [("faq@v1",), ("faq", "--parent", "v1")])
    def test_fix_all_reads_the_report_of_the_named_version(
        self, world: FakeServer, run: Run, named: tuple[str, ...]
    ) -> None:
        def report(code: str) -> Any:
            finding = Partial({"code": code, "severity": "error", "fixes": ["drop"]})
            return answer(Partial({"findings": [finding]}))

        world.on(f"GET datasets/{D}", answer(DATASET | {"version": "v9"}))
        world.on(f"GET datasets/{D}/versions/v1/report", report("markup"))
        world.on(f"GET datasets/{D}/versions/v9/report", report("duplicates"))
        world.on(f"POST datasets/{D}/fix", answer(TASK, 202))
        result = {"dataset": D, "version": "v2"}
        world.on(f"GET tasks/{T}", answer(TASK | {"result": result}))
        world.on(f"GET tasks/{T}/events", sse(("1", "end", {"status": "completed"})))
        world.on(f"GET datasets/{D}/versions/v2", answer(self.MADE))
        ran = run("datasets", "fix", *named, "--all")
        assert ran.code == 0, ran.err
        assert posted(world, "/fix") == {
            "fixes": {"markup": "drop"}, "message": None, "parent": "v1"
        }  # fmt: skip

    def test_rm_of_a_single_version_is_refused(self, world: FakeServer, run: Run) -> None:
        deleted = answer(status=204, purge_after="2026-12-24T08:00:00Z")
        world.on(f"DELETE datasets/{D}", deleted)
        assert run("datasets", "rm", "faq@v1", "--yes").code == 2
        assert world.count(f"DELETE datasets/{D}") == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("patch", "faq"),
            ("patch", "faq", "file.csv"),
            ("patch", "faq", "--delete-row", "3", "--key", "id"),
            ("patch", "faq", "--delete-row", "3", "--delete"),
            ("patch", "faq", "--delete-row", "3", "--format", "csv"),
            ("rows", "faq", "--sample", "3", "--search", "x"),
            ("rows", "faq", "--sample", "3", "--where", "a == 1"),
            ("rows", "faq", "--sample", "3", "--offset", "1"),
            ("gate", "faq", "--min-score", "50"),
            ("gate", "faq", "--forbid-errors"),
            ("gate", "faq", "--clear"),
            ("gate", "--clear", "--limit", "duplicates=0"),
            ("patch", "faq", "--set", "label=spam"),
            ("patch", "faq", "--add", "[1]"),
            ("fix", "faq"),
            ("fix", "faq", "duplicates"),
            ("split", "faq", "--part", "train"),
            ("split", "faq", "--part", "a=0.5", "--part", "b=0.5", "--name", "c=x"),
            ("split", "faq", "--part", "a=0.5", "--part", "b=0.5", "--name", "a"),
            ("split", "faq", "--part", "a=0.5", "--part", "b=0.5", "--name", "a="),
            ("patch", "faq", "--delete-row", "3", "--allow-identical"),
            ("restore", "faq"),
        ],
    )
    def test_invalid_options_are_refused_without_a_request(
        self, world: FakeServer, run: Callable[..., Any], arguments: tuple[str, ...]
    ) -> None:
        assert run("datasets", *arguments).code == 2
        assert world.requests == []

    def test_filter_sends_conditions_unchanged(self, world: FakeServer, run: Run) -> None:
        world.on(f"POST datasets/{D}/filter", answer(self.MADE, 201))
        filters = ["score >= 0.5", '`User Name` in ("Ann", "Lin") or not label missing']
        ran = run("datasets", "filter", "faq", "--where", filters[0], "--where", filters[1])
        assert ran.code == 0, ran.err
        assert posted(world, "/filter")["where"] == filters

    def test_filter_refused_by_the_server_is_a_usage_error(
        self, world: FakeServer, run: Run
    ) -> None:
        refused = problem(
            422, "request.invalid_filter", "The filter can't be read: … (at character 9)."
        )
        world.on(f"POST datasets/{D}/filter", refused)
        ran = run("datasets", "filter", "faq", "--where", "setosa >> 6")
        assert ran.code == 2
        assert "at character 9" in ran.err


class TestReports:
    CHANGES = {
        "before": "v1",
        "after": "v2",
        "score": {"before": 71, "after": 96},
        "rows": {"before": 420, "after": 400},
        "findings": [
            Partial(
                {
                    "code": "duplicates",
                    "message": "exact copies",
                    "change": "gone",
                    "before": {"count": 20, "share": 0.05},
                    "after": None,
                }
            )
        ],
    }

    def test_report_with_compare_prints_the_changes(self, world: FakeServer, run: Run) -> None:
        world.on(f"GET datasets/{D}/versions/v2/report/changes", answer(self.CHANGES))
        ran = run("datasets", "report", "faq@v2", "--compare", "v1")
        assert ran.code == 0, ran.err
        assert "v1 → v2: score 71 → 96, rows 420 → 400" in ran.out + ran.err
        assert "gone" in ran.out
        assert "20 (5.0%)" in ran.out
        assert world.requests[-1].url.params["since"] == "v1"

    def test_report_with_html_writes_the_page(
        self, world: FakeServer, run: Run, tmp_path: Path
    ) -> None:
        page = httpx.Response(
            200,
            html="<!doctype html>报告",
            headers={"Content-Disposition": 'attachment; filename="report.html"'},
        )
        world.on(f"GET datasets/{D}/versions/v2/report/page", page)
        file = tmp_path / "report.html"
        ran = run("datasets", "report", "faq@v2", "--html", str(file), "--lang", "zh")
        assert ran.code == 0, ran.err
        assert file.read_text("utf-8") == "<!doctype html>报告"
        assert world.requests[-1].url.params["lang"] == "zh"
        assert run("datasets", "report", "faq", "--lang", "fr").code == 2

    def test_check_sends_evaluation_data_and_benchmarks(self, world: FakeServer, run: Run) -> None:
        world.on(f"POST datasets/{D}/versions/v2/quality", answer(TASK, 202))
        world.on(f"GET tasks/{T}", answer(TASK))
        world.on(f"GET tasks/{T}/events", sse(("1", "end", {"status": "completed"})))
        leaked = Partial({"label": "held@v1", "role": "evaluation", "rows": 9, "exact": 2,
                          "question": 1, "near": 0})  # fmt: skip
        report = Partial({"score": 80, "rows": 4, "findings": [], "compared_with": [leaked]})
        world.on(f"GET datasets/{D}/versions/v2", answer(TestDatasetChanges.MADE))
        world.on(f"GET datasets/{D}/versions/v2/report", answer(report))
        world.on(f"GET datasets/{D}/versions/v2/gate", answer({"passed": True, "failures": []}))
        ran = run("datasets", "check", "faq@v2", "--against", f"{E}@v1", "--benchmark", E)
        assert ran.code == 0, ran.err
        assert "(9 rows); found here: 2 word for word" in ran.out
        assert posted(world, "/quality")["against"] == [
            {"dataset": E, "version": "v1", "role": "evaluation"},
            {"dataset": E, "version": None, "role": "benchmark"},
        ]


def test_gate_prints_the_names_of_compared_datasets(world: FakeServer, run: Run) -> None:
    refs = [{"dataset": D, "version": "v2"}, {"dataset": E, "version": None}]
    gate = {"min_score": None, "forbid_errors": True, "limits": [], "evaluation": refs}
    world.on(f"GET projects/{P}/dataset-gate", answer(gate))
    world.on(f"GET datasets/{E}", problem(404, "resource.not_found", "gone"))
    ran = run("datasets", "gate")
    assert ran.code == 0, ran.err
    assert "faq@v2" in ran.out
    assert f"{E} (deleted)@current" in ran.out


@pytest.mark.parametrize(
    ("arguments", "before", "after"),
    [
        (("faq@v1",), "v1", None),
        (("faq@v1", "v2"), "v1", "v2"),
        (("faq@v1", "faq@v2"), "v1", "v2"),
        (("faq@v1", "@prod"), "v1", "prod"),
        (("faq", "v1", "v2"), "v1", "v2"),
        (("faq", "v1"), "v1", None),
    ],
)
def test_diff_accepts_all_ways_to_name_versions(
    world: FakeServer, run: Run, arguments: tuple[str, ...], before: str, after: str | None
) -> None:
    summary = {"added": 0, "removed": 0, "changed": 0, "unchanged": 3, "columns": {}}
    found = Partial(
        {"before": "v1", "after": "v2", "summary": summary, "items": [], "next_cursor": None}
    )
    world.on(f"GET datasets/{D}/diff", answer(found))
    ran = run("datasets", "diff", *arguments)
    assert ran.code == 0, ran.err
    asked = [r.url.params for r in world.requests if r.url.path.endswith("/diff")][-1]
    assert (asked["before"], asked.get("after")) == (before, after)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("faq",), "name the version to compare with"),
        (("faq@v1", "other@v3"), "a version of another dataset"),
        (("faq", "v1", "v2", "v3"), "name two versions"),
    ],
)
def test_diff_with_invalid_versions_is_refused(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    ran = run("datasets", "diff", *arguments)
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
