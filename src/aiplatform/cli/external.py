"""Runs that execute elsewhere: what of them is not on the platform yet, for ``aiplatform runs``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_json, print_rows, say
from aiplatform.cli.session import connect


def unsent(json: Json = False) -> None:
    """List runs of this machine that are not all on the platform."""
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
        say("Everything is on the platform.")
    else:
        print_rows(
            ["NAME", "ENDED", "DIRECTORY"],
            [[run["name"], run["ended"] or "", run["directory"]] for run in found],
        )


def sync(
    directories: Annotated[
        list[Path] | None, typer.Argument(help="Of runs; by default all that `unsent` shows.")
    ] = None,
    ended: Annotated[
        str | None,
        typer.Option(help="How runs ended that could not say so: completed, failed, cancelled."),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Send what runs could not. What is there already is not sent twice."""
    client = connect(project)
    chosen = directories or client.external.unsent()
    done = [client.external.sync(each, ended=ended, project=project) for each in chosen]
    if json:
        print_json(
            [
                {
                    "directory": str(each.directory),
                    "task": str(each.task),
                    "points": each.points,
                    "lines": each.lines,
                    "complete": each.complete,
                }
                for each in done
            ]
        )
    elif not done:
        say("Everything is on the platform.")
    for each in () if json else done:
        state = "complete" if each.complete else "sent so far; it has not ended, or say --ended"
        say(f"{each.directory.name}: task {each.task}, {each.points} points, {state}.")
