"""The commands ``aiplatform runs``, including those for unsent external runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import ExitCode
from aiplatform.cli.estimate_text import comparison_rows
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
    say,
    to_json,
)
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.cli.train import print_training
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Comparison
    from aiplatform.client.external.group import Synced

SHOWN_APART = ("config", "record", "metrics.metrics", "estimate")
"""Fields of a run that are printed separately."""

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
    print_record(found, as_json=json, skip=SHOWN_APART, client=client)
    if not json and found.estimate is not None:
        print_rows(["", ""], comparison_rows(found.estimate))
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
    """Print a comparison with one column per item: config values that differ, then metrics."""
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


@app.command()
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


@app.command()
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
        "{name}: task {task}, {points} points, still running. If its process has ended, report "
        "this: aiplatform runs sync {directory:quoted} --ended failed. Otherwise the run is shown "
        "as running until the server ends it.",
        directory=synced.directory,
        **facts,
    )
