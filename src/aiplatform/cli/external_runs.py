"""The commands ``aiplatform runs unsent`` and ``sync``, for external runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import ExitCode
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_json, print_rows, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client.external.group import Synced


def unsent(json: Json = False) -> None:
    """List runs on this machine that have not been sent to the platform completely."""
    from aiplatform.client.external.journal import Journal, runs_directory

    found: list[dict[str, Any]] = []
    for path in sorted(runs_directory().glob("*/run.json")):
        journal = Journal(path.parent)
        end = journal.end
        found.append(
            {
                "directory": str(path.parent),
                "name": journal.about["name"],
                "task": journal.about.get("task"),
                "ended": None if end is None else end["status"],
            }
        )
    if json:
        print_json(found)
    elif not found:
        say(tr("Everything is on the platform."))
    else:
        print_rows(
            ["NAME", "ENDED", "DIRECTORY"],
            [[run["name"], run["ended"] or "", run["directory"]] for run in found],
        )


def sync(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(help="Directories of runs. By default all that `unsent` lists."),
    ] = None,
    ended: Annotated[
        str | None,
        typer.Option(
            help="How runs without a recorded end have ended: completed, failed or "
            "cancelled. Their last record is the time of the end."
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Send the unsent records of runs to the platform. Nothing is sent twice."""
    from aiplatform.client import ClientError, ServerUnavailable, Unauthenticated
    from aiplatform.client.external.journal import parse_final_status

    try:
        status = None if ended is None else parse_final_status(ended)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ended") from error
    client = connect(project)
    done: list[Synced] = []
    failed = False
    chosen = directories or client.external.unsent()
    try:
        for directory in chosen:
            try:
                one = client.external.sync(directory, ended=status, project=project)
            except (ServerUnavailable, Unauthenticated):
                raise  # the same error would occur for all others
            except (ClientError, OSError) as error:
                failed = True
                say(tr("{name} is not sent: {error}", name=directory.name, error=error))
                continue
            done.append(one)
            if not json:
                say(_result_text(one))
    finally:
        if json:
            print_json([_as_json(each) for each in done])
    if not json and not chosen:
        say(tr("Everything is on the platform."))
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _as_json(synced: "Synced") -> dict[str, Any]:
    return {
        "directory": str(synced.directory),
        "task": str(synced.task),
        "points": synced.points,
        "lines": synced.lines,
        "complete": synced.complete,
    }


def _result_text(synced: "Synced") -> str:
    facts = {"name": synced.directory.name, "task": synced.task, "points": synced.points}
    if synced.complete:
        return tr("{name}: task {task}, {points} points, complete.", **facts)
    return tr(
        "{name}: task {task}, {points} points, still open. If its process has died, say how it "
        "ended, or it counts as running until the server gives it up: aiplatform runs sync "
        "{directory:quoted} --ended failed",
        directory=synced.directory,
        **facts,
    )
