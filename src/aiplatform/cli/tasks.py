"""The commands ``aiplatform tasks``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import ExitCode
from aiplatform.cli.options import Json, Limit, OverrideGate, Project, TaskArgument, group
from aiplatform.cli.output import (
    age_text,
    duration_text,
    number_text,
    print_json,
    print_json_line,
    print_record,
    print_rows,
    print_table,
    say,
)
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import follow as follow_task
from aiplatform.cli.task_submission import submit
from aiplatform.cli.task_telemetry import logs, print_summaries, telemetry
from aiplatform.language import tr

if TYPE_CHECKING:
    from uuid import UUID

    from aiplatform.client import Task

app = group("Tasks: queued and running work. Follow it, read its log, stop it.")

_LONG = ("nodes", "progress_detail", "result.metrics")

MAX_SHOWN = 5
"""Maximum number of elements shown of a list or mapping; a longer one is shown as its length."""


@app.command()
def ls(
    project: Project = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only this status: pending, running, completed, failed, cancelled, …"),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Only this type, such as training or evaluation.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only tasks with this name.")] = None,
    dead: Annotated[
        bool,
        typer.Option(
            "--dead", help="Only tasks that failed permanently and that nobody has retried."
        ),
    ] = False,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the tasks of a project, newest first."""
    found = connect(project).tasks.list(status=status, type=kind, name=name, dead=dead or None)
    print_table(
        found.take(limit),
        {
            "TASK": lambda t: str(t.uuid)[:8],
            "NAME": lambda t: t.name,
            "TYPE": lambda t: t.type,
            "STATUS": lambda t: t.status,
            "PROGRESS": lambda t: f"{t.progress:.0%}",
            "CREATED": lambda t: age_text(t.created_at),
        },
        as_json=json,
        empty=tr("There are no such tasks."),
    )


@app.command()
def show(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Show a task: status, result, attempts, nodes."""
    client = connect(project)
    tasks = client.tasks
    found = tasks.get(task)
    print_record(found, as_json=json, skip=_LONG, client=client)
    if json:
        return
    for node in found.nodes:
        say(
            tr(
                "Node {node}: {worker}, {state}, GPUs: {gpus}.",
                node=node["node"],
                worker=node["worker"],
                state=node["state"],
                gpus=node["gpus"],
            )
        )
    used = tasks.usage(found)
    if used.attempts:
        cost = "" if used.cost is None else f"; {used.cost:.2f} {used.currency or ''}"
        say(
            tr(
                "Used {gpu_hours:.2f} GPU-hours and {cpu_hours:.2f} CPU-hours in {duration}{cost}.",
                gpu_hours=used.gpu_hours,
                cpu_hours=used.cpu_hours,
                duration=duration_text(used.seconds),
                cost=cost,
            )
        )
    left = (found.progress_detail or {}).get("seconds_left")
    if left is not None and found.status == "running":
        say(tr("About {left} left.", left=duration_text(left)))


@app.command()
def timeline(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Show the events of a task, such as started, checkpoint, preempted and alert."""
    print_table(
        connect(project).tasks.timeline(task),
        {
            "TIME": lambda e: f"{e.time:%Y-%m-%d %H:%M:%S}",
            "WHAT": lambda e: tr(e.kind.replace("_", " ")),
            "FACTS": lambda e: ", ".join(
                f"{key.replace('_', ' ')} {_short_text(value)}"
                for key, value in e.data.items()
                if value is not None
            ),
        },
        as_json=json,
        empty=tr("There are no events yet."),
    )


def _short_text(value: Any) -> str:
    """Return short text for a value of an event; ``--json`` prints the whole value."""
    match value:
        case dict() | list() if len(value) > MAX_SHOWN:
            return f"({len(value)})"
        case dict():
            parts = [f"{key.replace('_', ' ')} {_short_text(item)}" for key, item in value.items()]
            return f"({', '.join(parts)})" if parts else tr("none")
        case list():
            return ", ".join(map(_short_text, value)) or tr("none")
        case bool():
            return tr("yes") if value else tr("no")
    return str(value)


@app.command()
def top(
    every: Annotated[
        float, typer.Option("--every", "-n", min=0.5, max=3600, help="Seconds between two updates.")
    ] = 2.0,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the queue, running tasks and workers live, until you press q or Ctrl-C.

    With --json, print them once.
    """
    from aiplatform.cli.top import fetch_view
    from aiplatform.cli.top import top as show_top

    client = connect(project)
    if json:
        print_json(vars(fetch_view(client)))
    else:
        show_top(client, every)


@app.command()
def watch(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Follow a task until it ends. Exit code 5 if it does not succeed."""
    client = connect(project)
    found = client.tasks.get(task)
    ended = follow_task(client, found, as_json=json)
    if not json:
        say(tr("{name} is {status}.", name=ended.name, status=ended.status))


app.command()(logs)


@app.command()
def metrics(
    task: TaskArgument,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", "-k", help="Print this metric step by step. Can be repeated."),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print the metrics of a task: a summary, or every step of a metric."""
    client = connect(project)
    if not key and not json:
        found = client.tasks.get(task)
        print_summaries(
            client.metrics.summaries(tasks=[found], project=found.project), as_json=False
        )
        return
    series = client.tasks.metrics(task, *(key or ()))
    if json:
        print_json({name: [list(point) for point in points] for name, points in series.items()})
    elif not series:
        say(tr("No metrics were recorded."))
    else:
        steps = sorted({point.step for points in series.values() for point in points})
        by_step = {name: {p.step: p.value for p in points} for name, points in series.items()}
        print_rows(
            ["STEP", *series],
            [
                [step, *(number_text(values.get(step)) for values in by_step.values())]
                for step in steps
            ],
        )


app.command()(telemetry)
app.command()(submit)


@app.command()
def cancel(
    task: TaskArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the task has ended.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Cancel a task. A training run saves a checkpoint first."""
    client = connect(project)
    stopped = client.tasks.cancel(task)
    if wait:
        stopped = stopped.wait(check=False)
    if json:
        print_json(stopped)
    else:
        say(tr("{name} is {status}.", name=stopped.name, status=stopped.status))


@app.command()
def pause(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Pause a task. A training run saves a checkpoint first."""
    paused = connect(project).tasks.pause(task)
    if json:
        print_json(paused)
    elif paused.status == "paused":
        say(tr("{name} is paused.", name=paused.name))
    else:
        say(tr("{name} pauses at its next checkpoint.", name=paused.name))


@app.command()
def resume(task: TaskArgument, project: Project = None, json: Json = False) -> None:
    """Resume a paused task from its checkpoint."""
    _print_position(connect(project).tasks.resume(task), as_json=json)


@app.command()
def retry(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK", help="Task: name, uuid, or at least the first 6 characters of the uuid."
        ),
    ] = None,
    dead: Annotated[
        bool,
        typer.Option(
            "--dead", help="Retry all tasks that failed permanently and that nobody has retried."
        ),
    ] = False,
    override_gate: OverrideGate = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Queue a failed or cancelled task again, as a new task."""
    if (task is not None) == dead:
        raise typer.BadParameter(tr("Name a task, or give --dead for all that failed."))
    if dead and override_gate is not None:
        raise typer.BadParameter(
            tr("--override-gate is a reason for a single training: name its task.")
        )
    from aiplatform.client import ApiError, ServerUnavailable, Unauthenticated

    tasks = connect(project).tasks
    if task is not None:
        _print_retried(tasks.retry(task, override_gate=override_gate), json)
        return
    # Read the whole list first, because retried tasks disappear from it. Start with the oldest
    # task, because tasks depend on older ones. If a task can't be retried because a task that it
    # depends on has failed, try it again in the next round.
    due = list(tasks.list(dead=True))[::-1]
    refused: dict[UUID, str] = {}
    while due:
        later = []
        for one in due:
            try:
                _print_retried(tasks.retry(one), json)
                refused.pop(one.uuid, None)
            except (ServerUnavailable, Unauthenticated):
                raise  # the same error would occur for all others
            except ApiError as error:
                refused[one.uuid] = tr("{name} is not retried: {error}", name=one.name, error=error)
                if error.code == "task.dependency_failed":
                    later.append(one)
        due = later if len(later) < len(due) else []
    for reason in refused.values():
        say(reason)
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def _print_retried(new: "Task", json: bool) -> None:
    if json:
        print_json_line(new)
    else:
        say(tr("{name} is queued again as {uuid}.", name=new.name, uuid=new.uuid))


@app.command()
def priority(
    task: TaskArgument,
    level: Annotated[
        int, typer.Argument(min=1, max=10, help="Priority, 1 to 10; higher goes first.")
    ],
    project: Project = None,
    json: Json = False,
) -> None:
    """Change the priority of a waiting task."""
    client = connect(project)
    _print_position(client.tasks.set_priority(client.tasks.get(task), level), as_json=json)


@app.command("next")
def run_next(
    task: TaskArgument,
    before: Annotated[
        str | None, typer.Option(help="Move it right before this task, instead of before all.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Move a waiting task ahead of all others in its project."""
    _print_position(connect(project).tasks.move(task, before), as_json=json)


def _print_position(task: "Task", *, as_json: bool) -> None:
    if as_json:
        print_json(task)
    elif task.waiting is None:
        say(tr("{name} is {status}.", name=task.name, status=task.status))
    else:
        say(
            tr(
                "{name}: priority {priority}; {reason}.",
                name=task.name,
                priority=task.priority,
                reason=task.waiting.reason,
            )
        )
