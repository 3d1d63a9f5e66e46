"""The commands ``aiplatform scripts``, and ``aiplatform tasks artifacts``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Task

app = group("Scripts: your own commands, run as tasks on workers.")

Directory = Annotated[
    Path,
    typer.Option("--directory", "-C", file_okay=False, exists=True, help="Directory of the code."),
]
Commit = Annotated[
    str | None,
    typer.Option(
        "--commit", help="Use the files of this git commit, instead of those in the directory."
    ),
]
Pairs = list[str] | None
PROGRESS_SECONDS = 2.0


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="-- COMMAND …", help="The command and its arguments. It is not run by a shell."
        ),
    ],
    directory: Directory = Path(),
    commit: Commit = None,
    bundle: Annotated[
        str | None, typer.Option(help="Uuid of a bundle that was uploaded before.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the task.")] = None,
    environment: Annotated[
        str,
        typer.Option("--environment", "-e", help="Environment to run in. A worker must offer it."),
    ] = "default",
    dataset: Annotated[
        Pairs,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME=DATASET[@VERSION]",
            help="Dataset to read: NAME=DATASET[@VERSION]. Can be repeated.",
        ),
    ] = None,
    model: Annotated[
        Pairs,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME=MODEL[@VERSION]",
            help="Model to read: NAME=MODEL[@VERSION]. Can be repeated.",
        ),
    ] = None,
    variable: Annotated[
        Pairs,
        typer.Option(
            "--variable",
            metavar="NAME=VALUE",
            help="Environment variable: NAME=VALUE. Can be repeated.",
        ),
    ] = None,
    secret: Annotated[
        Pairs,
        typer.Option(
            "--secret",
            metavar="VARIABLE=SECRET",
            help="Environment variable from a stored secret: VARIABLE=NAME. Can be repeated.",
        ),
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="CPU cores to reserve.")] = None,
    memory_mb: Annotated[
        int | None, typer.Option(help="Memory in MiB; a script that uses more is stopped.")
    ] = None,
    disk_mb: Annotated[
        int | None, typer.Option(help="Disk space in MiB; a script that writes more is stopped.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="Number of GPUs, for each node.")] = None,
    processes: Annotated[int, typer.Option(help="Number of processes on each node.")] = 1,
    nodes: Annotated[int, typer.Option(help="Number of workers that run it together.")] = 1,
    time_limit: Annotated[
        int | None, typer.Option(help="Maximum duration of an attempt, in seconds.")
    ] = None,
    assignments: Set = None,
    priority: Priority = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Run a command as a task, and show its output.

    Example: aiplatform scripts run -d faq=faq@v3 -- python train.py --epochs 3

    While the command runs, its stdout is shown on stdout, and its stderr on stderr. Exit code 5 if
    the command fails.
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
        on_progress=packing_printer(),
        **options,
    )
    if detach:
        if json:
            print_json(task)
        else:
            say_queued(task)
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
    name: Annotated[
        str | None, typer.Option(help="Name of the bundle. By default that of the directory.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Upload code as a bundle that several runs share."""
    found = connect(project).scripts.bundle(
        directory, commit=commit, name=name, on_progress=packing_printer()
    )
    print_record(found, as_json=json)


@app.command("bundles")
def list_bundles(project: Project = None, limit: Limit = 20, json: Json = False) -> None:
    """List code bundles, newest first."""
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
    bundle: Annotated[str, typer.Argument(metavar="UUID", help="Uuid of the bundle.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete a code bundle. Tasks that ran it keep its hash."""
    found = connect().scripts.get_bundle(bundle)
    confirm(tr("Delete the code {name}?", name=found.name), yes=yes)
    found.delete()
    print_deleted(found.uuid, tr("the code {name}", name=found.name), None, as_json=json)


def artifacts(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task: name or uuid.")],
    to: Annotated[
        Path | None, typer.Option(file_okay=False, help="Download them into this directory.")
    ] = None,
    project: Project = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the artifacts of a task, or download them."""
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
    """Return one line about a script that has succeeded: its duration and its artifacts."""
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


def packing_printer() -> Callable[[int, int], None]:
    """Return a function that prints every few seconds how much of a directory has been packed."""
    printed_at = time.monotonic()
    has_begun = False

    def print_progress(done: int, total: int) -> None:
        nonlocal printed_at, has_begun
        now = time.monotonic()
        if not has_begun:
            has_begun = True
            say(tr("Packing {total}", total=size_text(total)))
        elif done < total and now - printed_at >= PROGRESS_SECONDS:
            printed_at = now
            say(tr("Packed {done} of {total}", done=size_text(done), total=size_text(total)))

    return print_progress


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """Parse ``NAME=VALUE`` options; each name may occur once.

    Raises:
        typer.BadParameter: if an option has another form, or a name is repeated.
    """
    found: dict[str, str] = {}
    for text in given or []:
        name, separator, value = text.partition("=")
        if not separator or not name or name in found:
            raise typer.BadParameter(
                tr("{text!r}: write {option} NAME=VALUE, each name once", text=text, option=option)
            )
        found[name] = value
    return found
