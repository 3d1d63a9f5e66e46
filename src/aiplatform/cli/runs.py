"""The commands ``aiplatform runs``."""

from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli.options import Detach, Json, Limit, OverrideGate, Priority, Project, group
from aiplatform.cli.output import (
    SHORT_HASH,
    age_text,
    number_text,
    print_json,
    print_json_line,
    print_record,
    print_rows,
    print_table,
    to_json,
)
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.cli.train import print_training
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Comparison

app = group("Runs: trainings, and runs that client.run() reports.")

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Uuid or its beginning, or the name of the task.")
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="EXPRESSION",
        help="A filter, such as 'metrics.eval_loss < 1.5 and config.lora.rank = 16 "
        'and tags has "prod"\'. See docs/filters.md.',
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        help="Sort by created, metrics.… or config.…; a minus in front sorts the largest first."
    ),
]


@app.command()
def ls(
    asked: Filter = None,
    sort: Sort = None,
    project: Project = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List the runs of a project, newest first."""
    figure = (sort or "").removeprefix("-")
    name = figure.removeprefix("metrics.") if figure.startswith("metrics.") else "eval_loss"
    print_table(
        connect(project).runs.list(asked, sort=sort).take(limit),
        {
            "RUN": lambda r: str(r.uuid)[:8],
            "NAME": lambda r: r.name,
            "EXPERIMENT": lambda r: r.experiment.name if r.experiment else "",
            "STATUS": lambda r: r.status,
            name.upper().replace("_", " "): lambda r: number_text(r.metrics.get(name)),
            "LOSS": lambda r: number_text(r.metrics.get("loss")),
            "CREATED": lambda r: age_text(r.created_at),
        },
        as_json=json,
        empty=tr("No runs match."),
    )


@app.command()
def show(run: RunArgument, project: Project = None, json: Json = False) -> None:
    """Show a run: configuration, seed, hashes of data and base model, software, hardware."""
    client = connect(project)
    found = client.runs.get(run)
    print_record(found, as_json=json, skip=("config", "record", "metrics.metrics"), client=client)
    if json or found.record is None:
        return
    record = to_json(found.record)
    environment = record.pop("environment") or {}
    packages = environment.pop("packages", {})
    learned = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers")
    record |= environment
    record["inputs"] = [
        f"{tr(i['role'].replace('_', ' '))} {i['label']} sha256 {str(i['sha256'])[:SHORT_HASH]}"
        for i in record["inputs"]
    ]
    record["packages"] = [f"{name} {packages[name]}" for name in learned if name in packages]
    print_record(record, as_json=False, client=client)


@app.command()
def rerun(
    run: RunArgument,
    priority: Priority = None,
    override_gate: OverrideGate = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Repeat a run with the same configuration, data, base model and seed, and follow it."""
    client = connect(project)
    task = client.runs.rerun(run, priority=priority, override_gate=override_gate)
    if not detach:
        task = follow(client, task, as_json=json)
    if json:
        (print_json if detach else print_json_line)(task)
    elif detach:
        say_queued(task)
    else:
        print_training(client, task)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Two or more runs: uuid or its beginning, or name of the task."
        ),
    ],
    project: Project = None,
    json: Json = False,
) -> None:
    """Compare runs: the differences between their configurations, and their metrics."""
    print_comparison(connect(project).runs.compare(runs), as_json=json)


def print_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    """Print a comparison with one column per item: first differing configs, then metrics."""
    if as_json:
        print_json(comparison)
        return
    rows = [
        [path, *(number_text(value) for value in values)]
        for part in (comparison.differs, comparison.metrics)
        for path, values in part.items()
        # Skip the points of metric series, which `compare-metrics` compares.
        if not any(isinstance(value, dict) for value in values)
    ]
    print_rows(["", *(item.name for item in comparison.items)], rows)
