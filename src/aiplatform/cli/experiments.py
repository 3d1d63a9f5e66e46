"""The commands ``aiplatform experiments``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from aiplatform.cli.options import (
    After,
    Detach,
    Json,
    Limit,
    OverrideGate,
    Priority,
    Project,
    Yes,
    group,
)
from aiplatform.cli.output import (
    age_text,
    number_text,
    print_json,
    print_json_line,
    print_record,
    print_table,
    print_text,
    say,
)
from aiplatform.cli.runs import Filter, Sort, print_comparison
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign, read_spec
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.cli.train import Set, Spec, create_experiment, print_training
from aiplatform.language import tr

_SERIES = ("metrics.metrics", "metrics.runs")

app = group("Experiments: training specs and their runs.")

ExperimentArgument = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="Experiment: name or uuid.")
]


@app.command()
def ls(
    asked: Filter = None,
    sort: Sort = None,
    archived: Annotated[bool, typer.Option(help="List archived experiments.")] = False,
    project: Project = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List the experiments of a project."""
    print_table(
        connect(project)
        .experiments.list(filter=asked, sort=sort, archived=archived or None)
        .take(limit),
        {
            "NAME": lambda e: e.name,
            "BASE MODEL": lambda e: e.base_model,
            "STATUS": lambda e: e.status,
            "HELD-OUT LOSS": lambda e: number_text(e.metrics.get("eval_loss")),
            "LOSS": lambda e: number_text(e.metrics.get("train_loss_last")),
            "TAGS": lambda e: ", ".join(e.tags),
            "CREATED": lambda e: age_text(e.created_at),
        },
        as_json=json,
        empty=tr("No experiments match.")
        if asked or archived
        else tr("There is no experiment in this project yet. Start one: aiplatform train --help"),
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    spec: Spec = None,
    assignments: Set = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Create an experiment without running it."""
    wanted = read_spec(spec) if spec else {}
    assign(wanted, assignments or [])
    client = connect(project or wanted.get("project"))
    print_record(create_experiment(client, wanted, name), as_json=json, client=client)


@app.command()
def show(experiment: ExperimentArgument, project: Project = None, json: Json = False) -> None:
    """Show an experiment."""
    client = connect(project)
    print_record(client.experiments.get(experiment), as_json=json, skip=_SERIES, client=client)


@app.command()
def run(
    experiment: ExperimentArgument,
    priority: Priority = None,
    override_gate: OverrideGate = None,
    after: After = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Start a run of an experiment, and follow it."""
    from aiplatform.client import git_state

    client = connect(project)
    task = client.experiments.run(
        experiment,
        priority=priority,
        override_gate=override_gate,
        git=git_state(),
        after=after or (),
    )
    if not detach:
        task = follow(client, task, as_json=json)
    if json:
        (print_json if detach else print_json_line)(task)
    elif detach:
        say_queued(task)
    else:
        print_training(client, task)


@app.command()
def runs(
    experiment: ExperimentArgument, project: Project = None, limit: Limit = 50, json: Json = False
) -> None:
    """List the runs of an experiment, newest first."""
    print_table(
        connect(project).experiments.runs(experiment).take(limit),
        {
            "TASK": lambda t: str(t.uuid)[:8],
            "NAME": lambda t: t.name,
            "STATUS": lambda t: t.status,
            "PROGRESS": lambda t: f"{t.progress:.0%}",
            "HELD-OUT LOSS": lambda t: number_text((t.result or {}).get("eval_loss")),
            "CREATED": lambda t: age_text(t.created_at),
        },
        as_json=json,
        empty=tr("It has not run yet."),
    )


@app.command()
def clone(
    experiment: ExperimentArgument,
    name: Annotated[str | None, typer.Option("--name", help="Name of the new experiment.")] = None,
    assignments: Set = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Create a copy of an experiment, with some values changed."""
    changes: dict[str, object] = {}
    assign(changes, assignments or [])
    made = connect(project).experiments.clone(experiment, name, changes=changes)
    print_record(made, as_json=json, skip=("config", "metrics"))


@app.command()
def tag(
    experiment: ExperimentArgument,
    add: Annotated[
        list[str] | None, typer.Option("--add", "-a", help="Tag to add. Can be repeated.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", "-r", help="Tag to remove. Can be repeated.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Add or remove tags of an experiment, and print its tags."""
    found = connect(project).experiments.get(experiment)
    tags = sorted((set(found.tags) | set(add or ())) - set(remove or ()))
    if tags != sorted(found.tags):
        found = found.update(tags=tags)
    if json:
        print_json(found)
    else:
        say(", ".join(found.tags) or tr("It has no tags."))


@app.command()
def note(
    experiment: ExperimentArgument,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="File with the new note in Markdown; - reads stdin.",
            allow_dash=True,
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Print the note of an experiment, or replace it."""
    found = connect(project).experiments.get(experiment)
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        found = found.update(note=text or None)
    if json:
        print_json(found)
    else:
        print_text(found.note or "")


@app.command()
def archive(
    experiment: ExperimentArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Unarchive it.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Archive an experiment: it is not listed by default and starts no runs."""
    found = connect(project).experiments.get(experiment)
    changed = found.unarchive() if undo else found.archive()
    if json:
        print_json(changed)
    else:
        say(
            tr("{name} is no longer archived.", name=changed.name)
            if undo
            else tr("{name} is archived.", name=changed.name)
        )


@app.command()
def compare(
    experiments: Annotated[
        list[str],
        typer.Argument(metavar="EXPERIMENT...", help="Two or more experiments: name or uuid."),
    ],
    project: Project = None,
    json: Json = False,
) -> None:
    """Compare the configurations of experiments and the metrics of their best runs."""
    print_comparison(connect(project).runs.compare(experiments=experiments), as_json=json)


@app.command()
def rm(
    experiment: ExperimentArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete an experiment. Its models are kept."""
    found = connect(project).experiments.get(experiment)
    confirm(tr("Delete the experiment {name}?", name=found.name), yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Deleted the experiment {name}.", name=found.name))
