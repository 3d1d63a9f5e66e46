"""The command ``aiplatform tasks logs``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aiplatform.cli.options import Json, Project, TaskArgument
from aiplatform.cli.output import print_json_line, print_text, say
from aiplatform.cli.session import connect
from aiplatform.language import tr
from aiplatform.protocol.enums import LogLevel, LogStream


def logs(
    task: TaskArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines until the task ends.")
    ] = False,
    search: Annotated[
        str | None, typer.Option("--search", "-s", help="Only lines that contain this text.")
    ] = None,
    level: Annotated[
        LogLevel | None,
        typer.Option("--level", "-l", help="Only lines of this level and more severe ones."),
    ] = None,
    stream: Annotated[LogStream | None, typer.Option(help="Only lines of this stream.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only lines from this time on, in UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only lines before this time, in UTC.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the whole log to this file; compressed if it ends with .gz.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print, search or download the log of a task."""
    searched = [
        name
        for name, value in (
            ("--search", search),
            ("--level", level),
            ("--since", since),
            ("--until", until),
        )
        if value
    ]
    if follow and searched:
        raise typer.BadParameter(
            tr("--follow shows every line and can't be used with {option}.", option=searched[0])
        )
    others = searched + [name for name, on in (("--follow", follow), ("--json", json)) if on]
    if output is not None and others:
        raise typer.BadParameter(
            tr("--output writes every line and can't be used with {option}.", option=others[0])
        )
    tasks = connect(project).tasks
    if output is not None:
        packed = output.suffix == ".gz"
        say(
            tr(
                "Written to {task}.",
                task=tasks.download_log(task, output, stream=stream, gz=packed, times=True),
            )
        )
        return
    if search or level or since or until:
        found = tasks.search_logs(
            task, search, level=level, stream=stream, since=_utc(since), until=_utc(until)
        )
        for line in found:
            if json:
                print_json_line(line)
            else:
                print_text(line.text)
        return
    for chunk in tasks.logs(task, follow=follow, stream=stream):
        if json:
            print_json_line(chunk)
        else:
            print_text(chunk.text.removesuffix("\n"))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
