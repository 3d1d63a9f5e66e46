"""The commands ``tasks logs``, ``tasks telemetry``, ``tasks compare``, ``compare-metrics``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Project, TaskArgument
from aiplatform.cli.output import (
    duration_text,
    number_text,
    print_json,
    print_json_line,
    print_rows,
    print_text,
    say,
)
from aiplatform.cli.session import connect
from aiplatform.language import tr
from aiplatform.protocol.enums import LogLevel, LogStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiplatform.client import TelemetryPoint
    from aiplatform.client.experiments import TaskSummary


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


def telemetry(
    task: TaskArgument,
    key: Annotated[
        list[str] | None, typer.Option("--key", "-k", help="Only this curve. Can be repeated.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Only this attempt. By default all.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", help="From this time on, in local time.")
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            min=2,
            max=10_000,
            help="Maximum number of points of each curve. By default 500.",
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show what a task used: CPU, memory, disk and GPUs; with --json, also the curves.

    Each point of a curve consists of the time in seconds since 1970, the mean, the minimum and the
    maximum.
    """
    found = connect(project).tasks.telemetry(
        task,
        *(key or ()),
        points=points,
        attempt=attempt,
        since=None if since is None else since.astimezone(),
    )
    if json:
        print_json(found)
        return
    curves = {name: curve for name, curve in found.series.items() if curve}
    if curves:
        print_rows(
            ["CURVE", "MEAN", "MIN", "MAX", "LAST", "DURATION"],
            [[name, *_summary(curve)] for name, curve in curves.items()],
        )
    else:
        say(tr("No metrics were recorded."))
    if found.note:
        say(tr("GPUs: {note}.", note=found.note))


def _summary(curve: "Sequence[TelemetryPoint]") -> list[str]:
    mean = sum(point.mean for point in curve) / len(curve)
    least, most = min(point.least for point in curve), max(point.most for point in curve)
    figures = [number_text(value) for value in (mean, least, most, curve[-1].mean)]
    return [*figures, duration_text(curve[-1].time - curve[0].time)]


Keys = Annotated[
    list[str] | None, typer.Option("--key", "-k", help="Only this metric. Can be repeated.")
]


def compare(
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="Two or more tasks: name or uuid.")
    ],
    key: Keys = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Compare the metrics of tasks: last, minimum, maximum and best values with their steps."""
    found = connect(project).metrics.summaries(*(key or ()), tasks=tasks)
    print_summaries(found, as_json=json)


def compare_metrics(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="Experiment: name or uuid.")
    ],
    key: Keys = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Compare the metrics of the runs of an experiment, newest first."""
    found = connect(project).metrics.summaries(*(key or ()), experiment=experiment)
    print_summaries(found, as_json=json)


def print_summaries(found: "Sequence[TaskSummary]", *, as_json: bool) -> None:
    """Print a table with a row for each metric series of each task."""
    if as_json:
        print_json(list(found))
        return
    rows = [
        [
            task.name,
            name,
            int(facts.get("points") or 0),
            number_text(facts.get("last")),
            number_text(facts.get("min")),
            number_text(facts.get("max")),
            number_text(facts.get("best")),
            _whole_number_text(facts.get("best_step")),
        ]
        for task in found
        for name, facts in task.metrics.items()
    ]
    if not rows:
        say(tr("No metrics were recorded."))
        return
    print_rows(["TASK", "METRIC", "POINTS", "LAST", "MIN", "MAX", "BEST", "AT STEP"], rows)


def _whole_number_text(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"
