"""``aiplatform tasks``."""

from typing import Annotated

import typer

from aiplatform.cli.follow import follow as follow_task
from aiplatform.cli.options import Json, Limit, Project, group
from aiplatform.cli.output import (
    age_text,
    number_text,
    print_json,
    print_json_line,
    print_record,
    print_rows,
    print_table,
    print_text,
    say,
)
from aiplatform.cli.session import connect

app = group("Queued and running work: watch it, read its log, stop it.")

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="Uuid, its first 6 characters or more, or name.")
]


@app.command()
def ls(
    project: Project = None,
    status: Annotated[
        str | None, typer.Option(help="pending, running, completed, failed, cancelled, …")
    ] = None,
    kind: Annotated[str | None, typer.Option("--type", help="training, evaluation, …")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the tasks of a project, newest first."""
    print_table(
        connect(project).tasks.list(status=status, type=kind).take(limit),
        {
            "TASK": lambda t: str(t.uuid)[:8],
            "NAME": lambda t: t.name,
            "TYPE": lambda t: t.type,
            "STATUS": lambda t: t.status,
            "PROGRESS": lambda t: f"{t.progress:.0%}",
            "CREATED": lambda t: age_text(t.created_at),
        },
        as_json=json,
        empty="There are no such tasks.",
    )


@app.command()
def show(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Show a task: state, result, attempts."""
    print_record(connect(project).tasks.get(task), as_json=json, skip=("progress_detail",))


@app.command()
def watch(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Watch a task until it ends; exit code 5 when it does not succeed."""
    client = connect(project)
    found = client.tasks.get(task)
    ended = follow_task(client, found, as_json=json)
    if not json:
        say(f"{ended.name} is {ended.status}.")


@app.command()
def logs(
    task: TaskArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print the log of a task."""
    for chunk in connect(project).tasks.logs(task, follow=follow):
        if json:
            print_json_line(chunk)
        else:
            print_text(chunk.text.removesuffix("\n"))


@app.command()
def metrics(
    task: TaskArgument,
    key: Annotated[
        list[str] | None, typer.Option("--key", "-k", help="Print this series step by step.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print what a task measured: a summary, or every step of the series named."""
    series = connect(project).tasks.metrics(task, *(key or ()))
    if json:
        print_json({name: [list(point) for point in points] for name, points in series.items()})
    elif not series:
        say("Nothing was measured.")
    elif key:
        steps = sorted({point.step for points in series.values() for point in points})
        by_step = {name: {p.step: p.value for p in points} for name, points in series.items()}
        print_rows(
            ["STEP", *series],
            [
                [step, *(number_text(values.get(step)) for values in by_step.values())]
                for step in steps
            ],
        )
    else:
        print_rows(
            ["METRIC", "POINTS", "FIRST", "LAST", "LEAST", "MOST"],
            [
                [
                    name,
                    len(points),
                    number_text(points[0].value),
                    number_text(points[-1].value),
                    number_text(min(point.value for point in points)),
                    number_text(max(point.value for point in points)),
                ]
                for name, points in series.items()
                if points
            ],
        )


@app.command()
def cancel(
    task: TaskArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Ask a task to stop; training saves a checkpoint first."""
    client = connect(project)
    stopped = client.tasks.cancel(task)
    if wait:
        stopped = stopped.wait(check=False)
    if json:
        print_json(stopped)
    else:
        say(f"{stopped.name} is {stopped.status}.")
