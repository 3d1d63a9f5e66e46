"""``aiplatform scripts``, and the artifacts of tasks."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.follow import follow
from aiplatform.cli.options import Detach, Json, Limit, Priority, Project, Set, Yes, group
from aiplatform.cli.output import (
    age_text,
    duration_text,
    print_deleted,
    print_json,
    print_json_line,
    print_record,
    print_table,
    say,
    size_text,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Task

app = group("Your own commands, run on workers with datasets and models laid out by version.")

Directory = Annotated[
    Path, typer.Option("--directory", "-C", file_okay=False, exists=True, help="The code.")
]
Commit = Annotated[
    str | None,
    typer.Option("--commit", help="What git has of it at this commit, instead of its files."),
]
Pairs = list[str] | None
PROGRESS_SECONDS = 2.0


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND …", help="No shell reads it.")
    ],
    directory: Directory = Path(),
    commit: Commit = None,
    bundle: Annotated[
        str | None, typer.Option(help="Uuid of code that was uploaded before.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the task.")] = None,
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="As the workers offer it.")
    ] = "default",
    dataset: Annotated[
        Pairs,
        typer.Option("--dataset", "-d", metavar="NAME=DATASET[@VERSION]", help="Rows to read."),
    ] = None,
    model: Annotated[
        Pairs,
        typer.Option("--model", "-m", metavar="NAME=MODEL[@VERSION]", help="A model to read."),
    ] = None,
    variable: Annotated[
        Pairs, typer.Option("--variable", metavar="NAME=VALUE", help="Environment variable.")
    ] = None,
    secret: Annotated[
        Pairs, typer.Option("--secret", metavar="VARIABLE=SECRET", help="From a stored secret.")
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="CPU cores.")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="MiB; more ends it.")] = None,
    disk_mb: Annotated[int | None, typer.Option(help="MiB it may write; more ends it.")] = None,
    gpus: Annotated[int | None, typer.Option()] = None,
    processes: Annotated[int, typer.Option(help="Of the command, on each node.")] = 1,
    nodes: Annotated[int, typer.Option(help="Workers that run it together.")] = 1,
    time_limit: Annotated[int | None, typer.Option(help="Seconds an attempt may take.")] = None,
    assignments: Set = None,
    priority: Priority = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run a command: aiplatform scripts run -d faq=faq@v3 -- python train.py --epochs 3

    Shows what the command prints as it comes: its stdout on stdout, its stderr on stderr. Ends with
    exit code 5 when the command fails.
    """
    from uuid import UUID

    client = connect(project)
    resources = {"cpus": cpus, "memory_mb": memory_mb, "gpus": gpus}
    options: dict[str, Any] = {
        "secrets": pairs(secret, "--secret"),
        "resources": {key: value for key, value in resources.items() if value is not None},
        "time_limit_seconds": time_limit,
        "max_disk_mb": disk_mb,
        "processes": processes,
        "nodes": nodes,
    }
    assign(options, assignments or [])
    task = client.scripts.run(
        command,
        directory=directory,
        commit=commit,
        bundle=None if bundle is None else UUID(bundle),
        name=name,
        environment=environment,
        datasets=pairs(dataset, "--dataset"),
        models=dict(pairs(model, "--model")),
        variables=pairs(variable, "--variable"),
        priority=priority or 5,
        on_progress=packing_teller(),
        **options,
    )
    if detach:
        if json:
            print_json(task)
        else:
            say(
                tr(
                    "Queued {name}. Watch it: aiplatform tasks watch {uuid:quoted}",
                    name=task.name,
                    uuid=task.uuid,
                )
            )
        return
    task = follow(client, task, as_json=json, show_output=True)
    if json:
        print_json_line(task)
    else:
        say(result_of(task))


@app.command("bundle")
def upload_bundle(
    directory: Directory = Path(),
    commit: Commit = None,
    name: Annotated[str | None, typer.Option(help="By default the directory's.")] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Upload code that several runs share."""
    found = connect(project).scripts.bundle(
        directory, commit=commit, name=name, on_progress=packing_teller()
    )
    print_record(found, as_json=json)


@app.command("bundles")
def list_bundles(project: Project = None, limit: Limit = 20, json: Json = False) -> None:
    """List uploaded code, newest first."""
    print_table(
        connect(project).scripts.bundles().take(limit),
        {
            "BUNDLE": lambda b: str(b.uuid),
            "NAME": lambda b: b.name,
            "FILES": lambda b: str(b.files),
            "SIZE": lambda b: size_text(b.size),
            "COMMIT": lambda b: str((b.source or {}).get("commit", ""))[:10],
            "BY": lambda b: b.author or "",
            "CREATED": lambda b: age_text(b.created_at),
        },
        as_json=json,
        empty=tr("No code was uploaded yet. Upload some: aiplatform scripts bundle"),
    )


@app.command("delete-bundle", hidden=True)
@app.command("rm-bundle")
def rm_bundle(
    bundle: Annotated[str, typer.Argument(metavar="UUID")], yes: Yes = False, json: Json = False
) -> None:
    """Delete uploaded code; tasks that ran it keep its hash."""
    found = connect().scripts.get_bundle(bundle)
    confirm(tr("Delete the code {name}?", name=found.name), yes=yes)
    found.delete()
    print_deleted(found.uuid, tr("the code {name}", name=found.name), None, as_json=json)


def artifacts(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Uuid or name.")],
    to: Annotated[Path | None, typer.Option(file_okay=False, help="Fetch them into here.")] = None,
    project: Project = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the files that a task has left, or fetch them."""
    found = connect(project).tasks.get(task)
    if to is not None:
        for path in found.download_artifacts(to):
            say(str(path))
        return
    print_table(
        found.artifacts().take(limit),
        {"PATH": lambda a: a.path, "SIZE": lambda a: size_text(a.size)},
        as_json=json,
        empty=tr("It has left no files."),
    )


def result_of(task: "Task") -> str:
    """Return one line about a script that has succeeded: how long it took and what it has left."""
    result = task.result or {}
    took = duration_text(result.get("seconds"))
    sizes = [artifact.size for artifact in task.artifacts()]
    if not sizes:
        return tr("{name} completed in {took}. It has left no files.", name=task.name, took=took)
    return tr(
        "{name} completed in {took}. Files: {count}, {size}. "
        "Fetch them: aiplatform tasks artifacts {task:quoted} --to results",
        name=task.name,
        took=took,
        count=len(sizes),
        size=size_text(sum(sizes)),
        task=task.uuid,
    )


def packing_teller() -> Callable[[int, int], None]:
    """Return a function that prints how much of a directory is packed, every few seconds."""
    told = time.monotonic()
    has_begun = False

    def tell(done: int, total: int) -> None:
        nonlocal told, has_begun
        now = time.monotonic()
        if not has_begun:
            has_begun = True
            say(tr("Packing {total}", total=size_text(total)))
        elif done < total and now - told >= PROGRESS_SECONDS:
            told = now
            say(tr("Packed {done} of {total}", done=size_text(done), total=size_text(total)))

    return tell


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """``NAME=VALUE`` as it was given, each name once."""
    found: dict[str, str] = {}
    for text in given or []:
        name, separator, value = text.partition("=")
        if not separator or not name or name in found:
            raise typer.BadParameter(
                tr("{text!r}: write {option} NAME=VALUE, each name once", text=text, option=option)
            )
        found[name] = value
    return found
