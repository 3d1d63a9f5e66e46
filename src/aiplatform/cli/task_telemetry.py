"""The command ``aiplatform tasks telemetry``: the resources that a task used over time."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Project, TaskArgument
from aiplatform.cli.output import duration_text, number_text, print_json, print_rows, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiplatform.client import TelemetryPoint


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
