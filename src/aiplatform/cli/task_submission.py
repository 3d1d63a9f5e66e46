"""The command ``aiplatform tasks submit``: one task from its spec, or many from a file."""

import sys
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Priority, Project, Set
from aiplatform.cli.output import print_json, print_json_line, say
from aiplatform.cli.session import connect
from aiplatform.cli.specs import assign, read_spec
from aiplatform.cli.task_display import say_queued
from aiplatform.language import tr

BATCH = 500
"""Largest number of tasks that the API accepts in one request."""


def submit(
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC]",
            help="File with the spec of a task, including its type: TOML, JSON or "
            "YAML; - reads JSON from stdin.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the task. Required with SPEC.")
    ] = None,
    assignments: Set = None,
    priority: Priority = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after", metavar="TASK", help="Start after this task has succeeded. Can be repeated."
        ),
    ] = None,
    after_any: Annotated[
        list[str] | None,
        typer.Option(
            "--after-any",
            metavar="TASK",
            help="Start after this task has ended, with or without success. Can be repeated.",
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            help="Any text. Within a day, the same command with the same key queues nothing new.",
        ),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            "--batch",
            metavar="FILE.jsonl",
            help="File with one task per line, as JSON; - reads stdin.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Queue a task from a spec, such as an evaluation or a quality report; or many with --batch.

    Use `aiplatform train` to train a model. In a batch, each line has a name and a spec, and may
    have priority, after and idempotency_key. The command sends requests of at most 500 tasks. The
    server queues all tasks of a request or none. If each line has an idempotency_key, you can
    submit a file again after an error: no task is queued twice.
    """
    of_one = (name, priority, assignments, after, after_any, idempotency_key)
    if (spec is None) == (batch is None):
        raise typer.BadParameter(tr("give SPEC for one task, or --batch for many"))
    if batch is not None:
        if any(option is not None for option in of_one):
            raise typer.BadParameter(
                tr("with --batch, the lines contain name, priority and the other options")
            )
        _submit_batch(batch, project, as_json=json)
        return
    if spec is None or name is None:
        raise typer.BadParameter(tr("a task needs a --name"))
    wanted = _object_of_stdin() if str(spec) == "-" else read_spec(spec)
    assign(wanted, assignments or [])
    queued = connect(project).tasks.submit(
        wanted,
        name=name,
        priority=priority,
        after=after or (),
        after_any=after_any or (),
        idempotency_key=idempotency_key,
    )
    if json:
        print_json(queued)
    else:
        say_queued(queued)


def _submit_batch(file: Path, project: str | None, *, as_json: bool) -> None:
    tasks = read_lines(file)
    client = connect(project)
    for start in range(0, len(tasks), BATCH):
        queued = client.tasks.submit_batch(tasks[start : start + BATCH])
        for task in queued:
            if as_json:
                print_json_line(task)
        if not as_json:
            say(
                tr(
                    "{queued} of {all} tasks are queued.",
                    queued=start + len(queued),
                    all=len(tasks),
                )
            )


def _object_of_stdin() -> dict[str, Any]:
    try:
        found = loads(sys.stdin.read())
    except ValueError as error:
        raise CommandError(tr("stdin: {error}", error=error), exit_code=ExitCode.USAGE) from error
    if not isinstance(found, dict):
        raise CommandError(tr("stdin must contain a JSON object"), exit_code=ExitCode.USAGE)
    return found


def read_lines(file: Path) -> list[Any]:
    """Return the JSON objects in a file, one per line; empty lines are skipped.

    Raises:
        CommandError: if the file can't be read, or a line is not a JSON object.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            tr("{file}: {error}", file=file, error=error), exit_code=ExitCode.USAGE
        ) from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = loads(line)
        except ValueError as error:
            raise CommandError(
                tr("{file}, line {number}: {error}", file=file, number=number, error=error),
                exit_code=ExitCode.USAGE,
            ) from error
        if not isinstance(one, dict):
            raise CommandError(
                tr("{file}, line {number}: not a JSON object", file=file, number=number),
                exit_code=ExitCode.USAGE,
            )
        found.append(one)
    if not found:
        raise CommandError(tr("{file} has no tasks", file=file), exit_code=ExitCode.USAGE)
    return found
