"""Tests of all commands: startup time, help, errors and exit codes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command

from aiplatform.cli.main import app
from tests.cli.conftest import Ran
from tests.client.fake import Broken, FakeServer, answer, malformed, page, problem
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
Start = Callable[..., subprocess.Popen[str]]
P, T = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
TASK = Partial({"uuid": T, "name": "train faq", "type": "training", "status": "running"})


def test_help_imports_no_large_packages() -> None:
    code = (
        "import sys; sys.argv = ['aiplatform', '--help']\n"
        "from aiplatform.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'httpx', 'pydantic', 'sqlalchemy', 'fastapi', 'torch', 'yaml', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train" in done.stdout
    assert done.stderr == "[]\n"


def test_status_imports_neither_the_database_driver_nor_the_help_pages(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['aiplatform', 'status', '--home', {str(tmp_path / 'home')!r}]\n"
        "from aiplatform.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sorted({'psycopg', 'rich.markdown', 'typer.rich_utils'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "is not running" in done.stderr
    assert done.stdout == "3\n[]\n"


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path.strip(), command
    for name, child in children.items():
        yield from commands(child, f"{path} {name}")


def test_every_command_has_help_and_a_json_option() -> None:
    found = dict(commands(get_command(app)))
    assert len(found) > 50
    for path, command in found.items():
        assert command.help, path
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or path in {"server", "worker"}, path


BY_NAME = ("account", "audit", "bin", "invitations", "keys", "notifications", "projects", "roles",
           "secrets", "users", "webhooks")  # fmt: skip
"""SDK groups for administrators and auditors, all of whose functions have commands."""

FOR_PROGRAMS = {"get_or_create", "path"}


@pytest.mark.parametrize("group", BY_NAME)
def test_every_administrative_sdk_method_has_a_command(group: str) -> None:
    from aiplatform.client import Client

    source = "\n".join(
        path.read_text("utf-8")
        for path in (Path(__file__).parents[2] / "src/aiplatform/cli").glob("*.py")
    )
    with Client("http://platform.test", token="t") as client:
        kind = type(getattr(client, group))
    methods = {
        name
        for name, member in vars(kind).items()
        if callable(member) and not name.startswith("_") and name not in FOR_PROGRAMS
    }
    assert methods
    # Some methods are called on a resource, as in ``client.users.get(name).delete()``.
    called = {name for name in methods if f".{name}(" in source}
    assert methods - called == set()


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (problem(401, "auth.unauthenticated", "Sign in again."), 4, "aiplatform login"),
        (problem(403, "auth.permission_denied", "This needs projects:read."), 1, "projects:read"),
        (problem(403, "auth.password_change_required", "Change it."), 1, "aiplatform login"),
        (problem(503, "server.unavailable", "The database does not answer."), 3, "database"),
        (httpx.ConnectError("[Errno 111] Connection refused"), 3, "aiplatform up"),
        (
            malformed(
                "a fault of the server", problem(500, "server.internal_error", "The server failed.")
            ),
            1,
            "The server failed.",
        ),
        (malformed("a page of a proxy", httpx.Response(200, html="<html>")), 1, "not JSON"),
    ],
)
def test_errors_are_one_line_and_a_hint(
    run: Run,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    given: httpx.Response | Exception,
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.on("GET projects", given)
    ran = run("projects", "ls")
    assert ran.code == code
    assert ran.err.startswith("Error: ")
    assert words in ran.err
    assert len(ran.err.splitlines()) <= 2
    assert ran.out == ""


def test_errors_with_json_option_are_json(run: Run, server: FakeServer) -> None:
    server.on(
        "GET projects", problem(403, "auth.permission_denied", "No.", permission="projects:read")
    )
    ran = run("projects", "ls", "--json")
    error = json.loads(ran.err)["error"]
    assert error["code"] == "auth.permission_denied"
    assert error["status"] == 403
    assert error["message"] == "No."
    assert error["permission"] == "projects:read"
    assert error["exit_code"] == ran.code == 1


def test_wrong_usage_prints_no_traceback(run: Run) -> None:
    for arguments in (("nope",), ("tasks", "ls", "--limit", "0"), ("train",)):
        ran = run(*arguments)
        assert ran.code == 2
        assert "Traceback" not in ran.err


def test_command_without_login_exits_with_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIPLATFORM_TOKEN")
    ran = run("projects", "ls")
    assert ran.code == 4
    assert "you are not logged in at http://platform.test" in ran.err


def test_upload_of_a_missing_file_names_it(run: Run, server: FakeServer) -> None:
    server.on("GET projects", page(Partial({"uuid": P, "name": "demo"})))
    server.on(f"GET projects/{P}/datasets", page())
    ran = run("datasets", "upload", "/nowhere/rows.jsonl")
    assert ran.code == 1
    assert ran.err == "Error: /nowhere/rows.jsonl: No such file or directory\n"


def test_internal_errors_print_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr("aiplatform.cli.projects.connect", fail)
    ran = run("projects", "ls")
    assert ran.code == 70
    assert "internal error: RuntimeError: oh" in ran.err
    assert "AIPLATFORM_DEBUG" in ran.err


def test_server_texts_with_control_characters_are_printed_plain(
    run: Run, server: FakeServer
) -> None:
    name = "evil\x1b]0;title\x07[bold]x[/bold]"
    server.on("GET projects", page(Partial({"uuid": P, "name": name})))
    ran = run("projects", "ls")
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert "[bold]x[/bold]" in ran.out


def test_url_option_and_locale_are_used_for_requests(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    server.on("GET projects", page())
    assert run("--url", "other.test:81", "projects", "ls").code == 0
    assert str(server.requests[0].url).startswith("http://other.test:81/api/v1/projects")
    assert server.requests[0].headers["accept-language"] == "zh"


def test_closed_output_pipe_is_no_error(start: Start, server: FakeServer) -> None:
    rows = [{"text": "x" * 1000} for _ in range(500)]
    server.on(f"GET datasets/{T}", answer(Partial({"uuid": T, "name": "d", "version": "v1"})))
    found = Partial({"items": rows, "places": list(range(500)), "next_cursor": None})
    server.on(f"GET datasets/{T}/versions/v1/rows", answer(found))
    process = start("datasets", "rows", T, "-n", "500")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(20) in {1, 141}


def test_watch_interrupted_by_ctrl_c_leaves_the_task_running(
    start: Start, server: FakeServer
) -> None:
    class Endless(Broken):
        def __iter__(self) -> Iterator[bytes]:
            yield b'id: 1\nevent: status\ndata: {"status": "running"}\n\n'
            time.sleep(20)

    server.on(f"GET tasks/{T}", answer(TASK))
    server.on(
        f"GET tasks/{T}/events",
        httpx.Response(200, stream=Endless(), headers={"Content-Type": "text/event-stream"}),
    )
    process = start("tasks", "watch", T)
    assert process.stderr is not None
    assert process.stderr.readline() == "train faq: running\n"
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(10) == 130
    assert "continues at" in rest
    assert f"aiplatform tasks cancel {T}" in rest
    assert "Traceback" not in rest
    assert "Error" not in rest
    assert server.count(f"POST tasks/{T}/cancel") == 0


BARE = """
import sys
from importlib.machinery import PathFinder

class Bare:
    # As after `pip install aiplatform`: only the client's packages are there.
    absent = {"sqlalchemy", "fastapi", "celery", "psycopg", "alembic", "uvicorn", "psutil", "redis",
              "pydantic_settings", "structlog", "kombu", "polars", "pyarrow", "orjson"}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.absent:
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
from aiplatform.cli.main import main
main()
"""


def bare(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BARE, *arguments],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["server"], ["worker"], ["db", "check"], ["up"]])
def test_client_install_names_the_missing_extra(arguments: list[str], tmp_path: Path) -> None:
    done = bare(*arguments, AIPLATFORM_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "aiplatform[server]" in done.stderr
    assert "Traceback" not in done.stderr


def test_client_install_can_use_the_sdk(url: str, server: FakeServer) -> None:
    server.on("GET projects", page(Partial({"uuid": P, "name": "demo"})))
    done = bare("projects", "ls", "--json", AIPLATFORM_URL=url, AIPLATFORM_TOKEN="t")
    assert json.loads(done.stdout)[0]["name"] == "demo"
