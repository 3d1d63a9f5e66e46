"""Comparison of metrics, for ``aiplatform tasks`` and ``aiplatform experiments``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import number_text, print_json, print_rows, say
from aiplatform.cli.session import connect
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client.experiments import TaskSummary

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
