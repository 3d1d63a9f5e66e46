"""The commands ``up``, ``down``, ``status`` and ``doctor``: the platform on this machine.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not running (``status``), 4 already running, 5
port not available, 6 home not usable, 7 data of another PostgreSQL version, 130 interrupted.
"""

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, Self, TypeVar

import typer

from aiplatform.cli.output import (
    console,
    plain,
    print_json,
    print_json_line,
    print_table,
    print_text,
)
from aiplatform.language import tr

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aiplatform.embedded.control import Status
    from aiplatform.embedded.errors import EmbeddedError
    from aiplatform.embedded.state import ServiceRecord, State

P = ParamSpec("P")
R = TypeVar("R")

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="AIPLATFORM_HOME",
        help="Directory for all data. By default in your data directory "
        "(/var/lib/aiplatform for root).",
        show_default=False,
    ),
]
HostOption = Annotated[
    str,
    typer.Option(
        envvar="AIPLATFORM_HOST",
        help="Address to listen on; 0.0.0.0 makes the platform reachable from other machines.",
    ),
]
PortOption = Annotated[
    int,
    typer.Option(
        envvar="AIPLATFORM_PORT", min=0, max=65535, help="Port to listen on; 0 chooses a free one."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

COLOURS = {
    "running": "green",
    "ready": "green",
    "ok": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "degraded": "yellow",
    "stopping": "yellow",
    "warn": "yellow",
    "fail": "red",
    "stopped": "dim",
    "waiting": "dim",
}


def _handle_embedded_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print errors of embedded mode with a remedy, and exit with their code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if sys.platform == "win32":
            _print_error(
                tr("Embedded mode needs Linux or macOS."), tr("On Windows, run it in WSL.")
            )
            raise typer.Exit(1)
        from aiplatform.embedded.errors import INTERRUPTED, EmbeddedError

        try:
            return command(*args, **kwargs)
        except EmbeddedError as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


@_handle_embedded_errors
def up(
    home: HomeOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8400,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", "-d", help="Return when the platform is ready, and leave it running."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the platform on this machine: PostgreSQL, Valkey, API and worker.

    Ctrl-C or `aiplatform down` stops it; a second Ctrl-C doesn't wait for running tasks.

    Exit codes: 0 stopped (with --detach: ready), 1 failed, 4 already running, 5 port not available,
    6 home not usable, 7 data of another PostgreSQL version, 130 interrupted before it was ready.
    """
    _need_server_extra()
    from aiplatform.embedded.daemon import start_daemon
    from aiplatform.embedded.home import Home
    from aiplatform.embedded.supervisor import Observe, Options, Supervisor

    options = Options(home=Home.resolve(home), host=host, port=port)

    def run(observe: Observe) -> int:
        return Supervisor(options, observe, os.environ).run()

    display = _JsonDisplay() if as_json else _Display(detach=detach)
    with display:
        if detach:
            start_daemon(options.home, run, display.show)
            return
        code = run(display.show)
    raise typer.Exit(code)


@_handle_embedded_errors
def down(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop the platform of a home; running tasks write their checkpoints first.

    Exit codes: 0 everything has stopped, 1 something is still running.
    """
    from aiplatform.embedded.control import stop_platform
    from aiplatform.embedded.home import Home

    done = stop_platform(Home.resolve(home))
    if as_json:
        print_json({"message": done})
    else:
        print_text(done)


@_handle_embedded_errors
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the processes of the platform, their memory and their health.

    Exit codes: 0 running, 3 not running.
    """
    from aiplatform.embedded.control import platform_status
    from aiplatform.embedded.errors import NotRunningError
    from aiplatform.embedded.home import Home

    place = Home.resolve(home)
    found = platform_status(place)
    if as_json:
        print_json(found.as_dict())
    elif found.running:
        console().print(_status_table(found))
    if found.running:
        return
    if as_json:
        raise typer.Exit(NotRunningError.exit_code)
    if found.leftovers:
        raise NotRunningError(
            tr(
                "AI Platform was killed in {home}; still there: {leftovers}.",
                home=found.home,
                leftovers=", ".join(found.leftovers),
            ),
            tr(
                "`{up}` starts the platform again, `{down}` ends the remaining processes.",
                up=place.command("up"),
                down=place.command("down"),
            ),
        )
    raise NotRunningError(
        tr("AI Platform is not running in {home}.", home=found.home),
        tr("Start: `{up}`.", up=place.command("up")),
    )


@_handle_embedded_errors
def doctor(
    home: HomeOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8400,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, and name a remedy for each problem.

    Exit codes: 0 `up` can work, 1 a problem prevents it.
    """
    from rich.table import Table

    from aiplatform.embedded.doctor import Outcome, examine
    from aiplatform.embedded.home import Home

    checks = examine(Home.resolve(home), host, port)
    if as_json:
        print_json([check.as_dict() for check in checks])
    else:
        table = Table(tr("check"), "", tr("found"), box=None, pad_edge=False)
        for check in checks:
            table.add_row(tr(check.name), _coloured(check.outcome), _plain(check.message))
            if check.remedy and check.outcome is not Outcome.OK:
                table.add_row("", "→", _plain(check.remedy))
        console().print(table, highlight=False, soft_wrap=True)
    if any(check.outcome is Outcome.FAIL for check in checks):
        raise typer.Exit(1)


def _need_server_extra() -> None:
    from aiplatform.embedded.binaries import missing_packages
    from aiplatform.embedded.errors import MissingPartError

    if missing := missing_packages("server"):
        raise MissingPartError(
            tr(
                "The server components are not installed (missing: {packages}).",
                packages=", ".join(missing),
            ),
            tr("pip install 'aiplatform[server]'; add the extra `llm` to train on this machine."),
        )


class _Display:
    """The startup display: a live table in a terminal, one line per step elsewhere."""

    def __init__(self, *, detach: bool) -> None:
        self._detach = detach
        self._live: Any = None
        self._last: tuple[str, str] = ("", "")
        self._drawn: object = None
        self._printed = False

    def __enter__(self) -> Self:
        out = console()
        if out.is_terminal:
            from rich.live import Live

            # Don't use a refresh thread, because processes are forked while this display is active.
            self._live = Live(console=out, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: "State") -> None:
        """Update the display to reflect a state; called often."""
        out = self._live.console if self._live is not None else console()
        if state.phase == "ready" and not self._printed:
            self._printed = True
            for line in _welcome(state, detach=self._detach):
                out.print(line, highlight=False, soft_wrap=True)
        if self._live is not None:
            drawn = json.dumps(state.as_dict())
            if drawn != self._drawn:
                self._drawn = drawn
                self._live.update(_live_table(state), refresh=True)
            return
        now = (str(state.phase), state.step)
        if now != self._last and (state.step or state.phase != "ready"):
            out.print(_plain(state.step or str(state.phase)), highlight=False, soft_wrap=True)
        self._last = now


class _JsonDisplay(_Display):
    """A display that prints one JSON object when the platform is ready."""

    def __init__(self) -> None:
        super().__init__(detach=True)

    def __enter__(self) -> Self:
        return self

    def show(self, state: "State") -> None:
        """Print the state when it is ready; called often."""
        if state.phase == "ready" and not self._printed:
            self._printed = True
            print_json_line(state.as_dict())


def _welcome(state: "State", *, detach: bool) -> list[str]:
    from aiplatform.client.client import find_address
    from aiplatform.client.credentials import CredentialStore
    from aiplatform.client.errors import ClientError
    from aiplatform.embedded.home import Home

    stop = tr("Ctrl-C stops it")
    if detach:
        stop = tr("`{down}` stops it", down=_plain(Home(Path(state.home)).command("down")))
    try:
        found = find_address(None, CredentialStore()) == state.url
    except ClientError:  # the session file can't be read; `login` will report it
        found = False
    login = "aiplatform login" if found else f"aiplatform --url {shlex.quote(state.url)} login"
    lines = [
        *(tr("[yellow]Note:[/] {text}", text=_plain(warning)) for warning in state.warnings),
        tr(
            "[green]Ready[/] at [bold]{url}[/] after {seconds} s; {stop}.",
            url=state.url,
            seconds=state.ready_seconds,
            stop=stop,
        ),
        tr("Home: {home}", home=_plain(state.home)),
        tr("Log in: `{login}`", login=login),
    ]
    if state.fresh and not os.environ.get("AIPLATFORM_ADMIN_PASSWORD"):
        lines.append(
            tr(
                "First login: user [bold]admin[/], password [bold]admin123[/], which must be "
                "replaced."
            )
        )
    return lines


def _live_table(state: "State") -> "RenderableType":
    from rich.console import Group

    step = f" · {_plain(state.step)}" if state.step else ""
    return Group(f"{_coloured(state.phase)}{step}", _service_table(state.services, {}))


def _status_table(found: "Status") -> "RenderableType":
    from rich.console import Group

    state = found.state
    assert state is not None
    minutes, seconds = divmod(int(found.uptime_seconds or 0), 60)
    hours, minutes = divmod(minutes, 60)
    if found.health is None:
        health = tr("[yellow]the API does not answer[/]")
    elif found.health.is_ok:
        health = tr("[green]ok[/]: {checks}", checks=_plain(", ".join(found.health.checks)))
    else:
        failed = _plain(", ".join(found.health.failed_parts))
        health = tr("[yellow]not ok[/]: {checks}", checks=failed)
    return Group(
        tr("{phase} at [bold]{url}[/]", phase=_coloured(state.phase), url=state.url),
        tr("home     {home}", home=_plain(state.home)),
        tr(
            "process  {pid}, for {duration}",
            pid=state.pid,
            duration=f"{hours}:{minutes:02}:{seconds:02}",
        ),
        tr("health   {health}", health=health),
        _service_table(state.services, found.memory),
    )


def _service_table(services: "list[ServiceRecord]", memory: dict[str, int]) -> "RenderableType":
    from rich.table import Table

    table = Table(tr("process"), tr("state"), tr("pid"), tr("restarts"), box=None, pad_edge=False)
    if memory:
        table.add_column(tr("memory"), justify="right")
    for record in services:
        row = [
            record.name,
            _coloured(record.state),
            str(record.pid or ""),
            str(record.restarts or "")
            + (tr(" (last: {exit})", exit=_plain(record.last_exit)) if record.last_exit else ""),
        ]
        if memory:
            size = memory.get(record.name)
            row.append(f"{size / 2**20:.0f} MiB" if size else "")
        table.add_row(*row)
    return table


def _coloured(word: str) -> str:
    return f"[{COLOURS.get(word, 'default')}]{tr(word)}[/]"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(plain(text))


def _fail(error: "EmbeddedError", *, as_json: bool) -> NoReturn:
    if as_json:
        body = {"message": error.message, "hint": error.remedy, "exit_code": error.exit_code}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
    else:
        _print_error(error.message, error.remedy)
    raise typer.Exit(error.exit_code)


def _print_error(message: str, remedy: str) -> None:
    out = console(stderr=True)
    out.print(
        tr("[bold red]Error:[/] {message}", message=_plain(message)),
        highlight=False,
        soft_wrap=True,
    )
    if remedy:
        out.print(f"[dim]{_plain(remedy)}[/]", highlight=False, soft_wrap=True)


def licences(
    search: Annotated[
        str | None, typer.Option(help="Only packages or licences whose name contains this.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the packages that the server and its web interface consist of, with their licences."""
    from aiplatform.cli.session import connect

    found = connect().licences()
    wanted = (search or "").casefold()
    print_table(
        [
            package
            for package in (*found.python, *found.page)
            if wanted in f"{package.name} {package.licence}".casefold()
        ],
        {
            "PACKAGE": lambda p: p.name,
            "VERSION": lambda p: p.version,
            "LICENCE": lambda p: p.licence,
        },
        as_json=as_json,
        empty=tr("No package matches."),
    )
