"""``aiplatform experiments``."""

from typing import Annotated

import typer

from aiplatform.cli.follow import follow
from aiplatform.cli.options import Detach, Json, Limit, Priority, Project, Yes, group
from aiplatform.cli.output import (
    age_text,
    number_text,
    print_json,
    print_json_line,
    print_record,
    print_table,
    say,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign, read_spec
from aiplatform.cli.train import Set, Spec, create_experiment, print_training

app = group("Experiments: training specs and their runs.")

ExperimentArgument = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name or uuid.")]


@app.command()
def ls(project: Project = None, limit: Limit = 50, json: Json = False) -> None:
    """List the experiments of a project."""
    print_table(
        connect(project).experiments.list().take(limit),
        {
            "NAME": lambda e: e.name,
            "BASE MODEL": lambda e: e.base_model,
            "STATUS": lambda e: e.status,
            "HELD-OUT LOSS": lambda e: number_text(e.metrics.get("eval_loss")),
            "LOSS": lambda e: number_text(e.metrics.get("train_loss_last")),
            "CREATED": lambda e: age_text(e.created_at),
        },
        as_json=json,
        empty="There is no experiment in this project yet. Begin one: aiplatform train --help",
    )


@app.command()
def create(
    name: Annotated[str, typer.Argument()],
    spec: Spec = None,
    assignments: Set = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Create an experiment without running it."""
    wanted = read_spec(spec) if spec else {}
    assign(wanted, assignments or [])
    client = connect(project or wanted.get("project"))
    print_record(create_experiment(client, wanted, name), as_json=json)


@app.command()
def show(experiment: ExperimentArgument, project: Project = None, json: Json = False) -> None:
    """Show an experiment."""
    print_record(connect(project).experiments.get(experiment), as_json=json)


@app.command()
def run(
    experiment: ExperimentArgument,
    priority: Priority = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run an experiment again, and watch it."""
    client = connect(project)
    task = client.experiments.run(experiment, priority=priority)
    if not detach:
        task = follow(client, task, as_json=json)
    if json:
        (print_json if detach else print_json_line)(task)
    elif detach:
        say(f"Queued {task.name}. Watch it: aiplatform tasks watch {task.uuid}")
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
        empty="It has not run yet.",
    )


@app.command()
def rm(
    experiment: ExperimentArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete an experiment; its models stay."""
    found = connect(project).experiments.get(experiment)
    confirm(f"Delete the experiment {found.name}?", yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(f"Deleted the experiment {found.name}.")
