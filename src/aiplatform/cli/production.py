"""``aiplatform server``, ``worker`` and ``db``: the entry points of production."""

import importlib
from collections.abc import Callable
from typing import Any

import typer

from aiplatform.cli.failures import CommandError, ExitCode
from aiplatform.cli.options import Json, group
from aiplatform.cli.output import print_json, say

db = group("The schema of the database that AIPLATFORM_DATABASE_URL names.")


@db.command()
def upgrade(json: Json = False) -> None:
    """Bring the schema to this program's revision; does nothing when it is there."""
    before, after = _database("upgrade")
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        say(f"The schema is at revision {after} already.")
    else:
        say(f"Migrated from {before or 'an empty database'} to revision {after}.")


@db.command()
def check(json: Json = False) -> None:
    """Exit with 1 unless the schema is at this program's revision."""
    current, expected = _database("check")
    if json:
        print_json({"current": current, "expected": expected, "ok": current == expected})
        if current != expected:
            raise typer.Exit(ExitCode.FAILED)
    elif current == expected:
        say(f"The schema is at revision {current}, as it should be.")
    else:
        raise CommandError(
            f"the schema is at revision {current or 'none'}, this program needs {expected}",
            "Run `aiplatform db upgrade`.",
        )


def server() -> None:
    """Run the API; configured by environment variables, see `docs/settings`."""
    raise typer.Exit(_program("aiplatform.server.app", "serve")())


def worker() -> None:
    """Run a worker; configured by environment variables, see `docs/settings`."""
    raise typer.Exit(_program("aiplatform.server.worker", "main")())


def _database(action: str) -> Any:
    run = _program("aiplatform.server.core.migrate", action)
    from sqlalchemy.exc import DBAPIError

    try:
        return run()
    except DBAPIError as error:
        reason = str(error.orig or error).strip().splitlines()[0]
        raise CommandError(
            f"the database does not do that: {reason}", "Check AIPLATFORM_DATABASE_URL."
        ) from error


def _program(module: str, name: str) -> Callable[[], Any]:
    """A function of the server, when its packages are installed."""
    try:
        found: Callable[[], Any] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "aiplatform":
            raise
        raise CommandError(
            f"the server's parts are not installed ({error.name} is missing)",
            "Install them: pip install 'aiplatform[server]'; on a worker that trains or serves "
            "also 'aiplatform[llm]'.",
        ) from error
    return found
