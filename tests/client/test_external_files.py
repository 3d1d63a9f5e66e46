"""Tests of artifacts and captured output of external runs."""
# ruff: noqa: T201 (the tests print on purpose)

import errno
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.client import Client
from aiplatform.client.external import sender as sending
from aiplatform.client.external.journal import Files
from aiplatform.client.external.run import Capture
from aiplatform.client.transfers import body_of
from aiplatform.protocol.enums import LogStream
from tests.client.fake import answer, problem
from tests.client.test_external import PROJECT, RUN, Platform, until
from tests.openapi_checks import Partial

PREFIX = f"PUT tasks/{RUN}/artifacts/"


class Keeping(Platform):
    """A server that stores files, too; ``answers`` replaces its next responses."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, bytes] = {}
        self.answers: Iterator[httpx.Response | None] = itertools.repeat(None)

    def expect(self, *paths: str) -> None:
        for path in paths:
            self.on(PREFIX + path, self._keep)

    def _keep(self, request: httpx.Request) -> httpx.Response:
        content = self.bodies[-1]
        instead = next(self.answers, None)
        if instead is not None:
            return instead
        path = request.url.path.partition("/artifacts/")[2]
        self.kept[path] = content
        return answer({"path": path, "size": len(content), "sha256": ""})


@pytest.fixture
def server() -> Keeping:
    return Keeping()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIPLATFORM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sending, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(sending, "SLOW_SECONDS", 0.02)
    monkeypatch.setattr(sending, "back_off", lambda *_: 0.01)


@pytest.fixture
def connect(server: Keeping) -> Callable[[], Client]:
    return lambda: Client("http://platform.test", token="t", project=PROJECT, transport=server)


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()


def test_log_artifact_stores_the_files_as_they_were(
    client: Client, server: Keeping, tmp_path: Path
) -> None:
    server.expect("plot.png", "saved/deep/a.txt", "saved/b.txt")
    plot = tmp_path / "made.png"
    plot.write_bytes(b"first")
    (tmp_path / "saved" / "deep").mkdir(parents=True)
    (tmp_path / "saved" / "deep" / "a.txt").write_text("a")
    (tmp_path / "saved" / "b.txt").write_text("b")
    with client.run("r") as run:
        run.log_artifact(plot, "plot.png")
        run.log_artifact(tmp_path / "saved")
        plot.write_bytes(b"written over")
        directory = run.journal.directory
    assert server.kept == {"plot.png": b"first", "saved/deep/a.txt": b"a", "saved/b.txt": b"b"}
    assert [end["status"] for end in server.ends] == ["completed"]
    assert not directory.exists()


def test_artifacts_of_an_offline_run_are_sent_once_by_sync(
    client: Client, server: Keeping, tmp_path: Path
) -> None:
    server.expect("a.txt")
    file = tmp_path / "a.txt"
    with client.run("r", mode="offline") as run:
        for text in ("one", "two"):
            file.write_text(text)
            run.log_artifact(file)
    file.unlink()
    assert server.kept == {}
    assert client.external.sync(run.journal.directory).complete
    assert server.kept == {"a.txt": b"two"}
    assert not run.journal.directory.exists()


def test_refused_artifact_is_set_aside_and_the_run_continues(
    client: Client, server: Keeping, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.expect("a.txt", "b.txt")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    server.answers = iter([problem(409, "project.quota_exceeded", "the project is full")])
    with client.run("r") as run:
        run.log_artifact(tmp_path / "a.txt")
        until((run.journal.directory / "refused" / "a.txt").exists)
        run.log_artifact(tmp_path / "b.txt")
        run.log({"loss": 1.0})
    assert server.kept == {"b.txt": b"b.txt"}
    assert [end["status"] for end in server.ends] == ["completed"]
    assert "the project is full" in caplog.text
    assert (run.journal.directory / "refused" / "a.txt").read_text() == "a.txt"
    assert client.external.unsent() == []


def test_artifact_is_retried_after_temporary_errors(
    client: Client, server: Keeping, tmp_path: Path
) -> None:
    server.expect("a.txt")
    busy = [problem(503, "server.unavailable", "busy") for _ in range(8)]
    server.answers = iter([*busy, *itertools.repeat(None, 5)])
    (tmp_path / "a.txt").write_text("a")
    with client.run("r") as run:
        run.log_artifact(tmp_path / "a.txt")
    assert server.kept == {"a.txt": b"a"}


def test_file_replaced_while_it_is_sent_is_sent_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    source = tmp_path / "source"
    source.write_text("old")
    files.add(source, "a/b.txt")
    ((path, file, was),) = files.pending()
    assert (path, file.read_text()) == ("a/b.txt", "old")
    source.write_text("new")
    files.add(source, "a/b.txt")
    files.sent(file, was)
    ((_, file, was),) = files.pending()
    assert file.read_text() == "new"
    files.sent(file, was)
    assert list(files.pending()) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "."])
def test_log_artifact_with_invalid_name_is_refused(
    client: Client, server: Keeping, tmp_path: Path, name: str
) -> None:
    (tmp_path / "a.txt").write_text("a")
    with client.run("r", mode="offline") as run:
        with pytest.raises(ValueError, match="relative"):
            run.log_artifact(tmp_path / "a.txt", name)
        with pytest.raises(FileNotFoundError):
            run.log_artifact(tmp_path / "none")


def test_captured_output_is_logged_and_still_printed(
    client: Client, server: Keeping, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    with client.run("r", capture_output=True):
        print("one\ntwo")
        print("half ", end="")
        print("and half")
        print("careful", file=sys.stderr)
        for share in range(3):
            sys.stderr.write(f"\r{share} of 2")
        print("no end", end="")
    assert (sys.stdout, sys.stderr) == before
    print("afterwards")
    assert [(line["stream"], line["text"]) for line in server.lines] == [
        ("stdout", "one"),
        ("stdout", "two"),
        ("stdout", "half and half"),
        ("stderr", "careful"),
        ("stdout", "no end"),
        ("stderr", "2 of 2"),
    ]
    out, err = capsys.readouterr()
    assert out == "one\ntwo\nhalf and half\nno endafterwards\n"
    assert err == "careful\n\r0 of 2\r1 of 2\r2 of 2"


def test_output_is_not_captured_by_default(client: Client, server: Keeping) -> None:
    with client.run("r"):
        print("not for the platform")
    assert server.lines == []


def test_capture_stop_keeps_streams_replaced_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Any] = []
    capture = Capture(lambda text, stream: said.append((text, stream)))
    mine = object()
    monkeypatch.setattr(sys, "stdout", mine)
    sys.stderr.write("windows\r\n")
    capture.stop()
    assert sys.stdout is mine
    assert said == [("windows", LogStream.STDERR)]


def test_ended_run_writes_nothing_to_files_opened_later(
    client: Client, server: Keeping, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = client.run("r", capture_output=True)
    kept = logging.StreamHandler(sys.stdout)
    print("before")
    assert run.end()
    # The new files get the descriptors that the run's files had.
    opened = [(tmp_path / f"{number}.txt").open("w") for number in range(8)]
    run.log({"loss": 1.0})
    run.write("late")
    kept.emit(logging.makeLogRecord({"msg": "handled\nlate"}))
    print("late", file=kept.stream)
    run.log({"loss": 2.0})
    for file in opened:
        file.close()
    assert [(tmp_path / f"{number}.txt").read_bytes() for number in range(8)] == [b""] * 8
    assert [line["text"] for line in server.lines] == ["before"]
    assert caplog.text.count("the run has ended") == 1


def test_captured_stream_still_prints_after_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[Any] = []
    capture = Capture(lambda text, stream: said.append(text))
    kept = sys.stdout
    kept.write("half")
    capture.stop()
    kept.write(" of it\nand more\n")
    assert said == ["half"]
    assert capsys.readouterr().out == "half of it\nand more\n"


def test_temporary_system_error_does_not_end_the_sending(
    client: Client,
    server: Keeping,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.expect("a.txt")
    (tmp_path / "a.txt").write_text("a")
    tries = itertools.count()

    def short_of_descriptors(*arguments: Any) -> Any:
        if next(tries) < 5:
            raise OSError(errno.EMFILE, "Too many open files")
        return body_of(*arguments)

    monkeypatch.setattr(sending, "body_of", short_of_descriptors)
    with client.run("r") as run:
        run.log_artifact(tmp_path / "a.txt")
        run.log({"loss": 1.0})
    assert server.kept == {"a.txt": b"a"}
    assert [end["status"] for end in server.ends] == ["completed"]
    assert caplog.text.count("not reported for now") == 1


def test_end_that_cannot_be_written_is_not_waited_for(
    client: Client, server: Keeping, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = client.run("r")
    run.log({"loss": 1.0})
    monkeypatch.setattr(run.journal, "record_end", full)
    began = time.monotonic()
    assert not run.end()
    assert time.monotonic() - began < 30
    assert "No space left on device" in caplog.text
    assert len(server.points) == 1
    assert client.external.unsent() == [run.journal.directory]


def test_artifact_sent_by_another_process_is_removed(
    client: Client, server: Keeping, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def by_another(_: httpx.Request) -> httpx.Response:
        (run.journal.directory / "artifacts" / "a.txt").unlink()
        return (
            problem(409, "project.quota_exceeded", "full") if server.kept else answer(Partial({}))
        )

    server.on(PREFIX + "a.txt", by_another)
    (tmp_path / "a.txt").write_text("a")
    with client.run("r") as run:
        for _ in range(2):
            run.log_artifact(tmp_path / "a.txt")
            until(lambda: not any(run.journal.files.pending()))
            server.kept["a.txt"] = b""
    assert [end["status"] for end in server.ends] == ["completed"]
    assert "not reported" not in caplog.text
    assert not (run.journal.directory / "refused" / "a.txt").exists()


def test_artifact_that_disappears_before_it_is_opened_is_skipped(
    client: Client,
    server: Keeping,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def gone(file: Path, *_: Any) -> Any:
        file.unlink()
        return file.open("rb")

    monkeypatch.setattr(sending, "body_of", gone)
    (tmp_path / "a.txt").write_text("a")
    with client.run("r") as run:
        run.log_artifact(tmp_path / "a.txt")
    assert [end["status"] for end in server.ends] == ["completed"]
    assert "not reported" not in caplog.text
