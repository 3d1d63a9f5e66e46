"""``aiplatform datasets``."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import (
    age_text,
    console,
    plain,
    print_json,
    print_record,
    print_rows,
    print_table,
    print_text,
    say,
    size_text,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.transfer import bar

if TYPE_CHECKING:
    from aiplatform.client import Client, Dataset

app = group("Datasets: upload, check, browse, fetch.")

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name, NAME@VERSION, or uuid.")
]
BaseModel = Annotated[
    str | None,
    typer.Option("--base-model", "-m", help="Whose tokenizer counts tokens in the report."),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=8, help="Tokens beyond which a row is too long.")
]


@app.command()
def ls(project: Project = None, limit: Limit = 100, json: Json = False) -> None:
    """List the datasets of a project."""
    print_table(
        connect(project).datasets.list().take(limit),
        {
            "NAME": lambda d: d.name,
            "VERSION": lambda d: d.version,
            "STATUS": lambda d: d.status,
            "ROWS": lambda d: d.row_count,
            "SIZE": lambda d: size_text(d.size),
            "SHAPE": lambda d: d.shape,
            "SCORE": lambda d: (d.quality_report or {}).get("score"),
            "CHANGED": lambda d: age_text(d.updated_at),
        },
        as_json=json,
        empty="There is no dataset here yet. Upload one: aiplatform datasets upload FILE",
    )


@app.command()
def upload(
    file: Annotated[str, typer.Argument(help="A file, or - for stdin.")],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Else that of the file. If it exists, a version is added."),
    ] = None,
    message: Annotated[str | None, typer.Option("--message", help="What this is.")] = None,
    data_format: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, json, csv, tsv, parquet, text; else by the name."),
    ] = None,
    base_model: BaseModel = None,
    max_length: MaxLength = None,
    allow_identical: Annotated[
        bool, typer.Option(help="Add a version even when its rows are those of the current one.")
    ] = False,
    project: Project = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the quality report.")
    ] = True,
    json: Json = False,
) -> None:
    """Upload a file as a dataset, or as a new version of one; then show its quality report."""
    from aiplatform.client import NotFound

    client = connect(project)
    data: Any = sys.stdin.buffer if file == "-" else Path(file)
    if name is None:
        if file == "-":
            raise typer.BadParameter("what comes from stdin needs a --name")
        name = Path(file).name.partition(".")[0]
    if file == "-" and data_format is None:
        data_format = "jsonl"
    with bar(f"upload {name}", hidden=json) as progress:
        options: dict[str, Any] = {
            "filename": f"stdin.{data_format}" if file == "-" else None,
            "format": data_format,
            "message": message,
            "base_model": base_model,
            "max_length": max_length,
            "progress": progress,
        }
        try:
            dataset = client.datasets.get(name)
        except NotFound:
            dataset = client.datasets.upload(name, data, **options)
        else:
            dataset.add_version(data, allow_identical=allow_identical, **options)
            dataset = dataset.refresh()
    if wait:
        dataset = dataset.wait_ready()
    if json:
        print_json(dataset)
        return
    say(f"{dataset.name} {dataset.version}: {dataset.row_count} rows, {dataset.shape}.")
    if wait:
        _print_report(dataset.quality_report or {})


@app.command()
def show(dataset: DatasetArgument, project: Project = None, json: Json = False) -> None:
    """Show a dataset, or one version of it."""
    client = connect(project)
    if "@" in dataset:
        print_record(client.datasets.version(dataset), as_json=json, skip=("report",))
    else:
        print_record(client.datasets.get(dataset), as_json=json, skip=("quality_report",))


@app.command()
def versions(
    dataset: DatasetArgument, project: Project = None, limit: Limit = 100, json: Json = False
) -> None:
    """List the versions of a dataset, newest first."""
    print_table(
        connect(project).datasets.versions(dataset).take(limit),
        {
            "VERSION": lambda v: v.version,
            "PARENT": lambda v: v.parent,
            "ROWS": lambda v: v.row_count,
            "SIZE": lambda v: size_text(v.file_size),
            "MESSAGE": lambda v: v.message,
            "CREATED": lambda v: age_text(v.created_at),
            "SHA-256": lambda v: (v.file_hash or "")[:12],
        },
        as_json=json,
        empty="It has no versions.",
    )


@app.command()
def rows(
    dataset: DatasetArgument, project: Project = None, limit: Limit = 10, json: Json = False
) -> None:
    """Print rows, one JSON object a line; with --json, one list."""
    found = connect(project).datasets.rows(dataset).take(limit)
    if json:
        print_json(found)
        return
    for row in found:
        print_text(jsonlib.dumps(row, ensure_ascii=False))


@app.command()
def report(dataset: DatasetArgument, project: Project = None, json: Json = False) -> None:
    """Show the quality report: may I train on this?"""
    found = connect(project).datasets.report(dataset)
    if json:
        print_json(found)
    else:
        _print_report(found)


@app.command()
def check(
    dataset: DatasetArgument,
    base_model: BaseModel = None,
    max_length: MaxLength = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Make the quality report again, for a base model or another length, and show it."""
    client = connect(project)
    client.datasets.check(dataset, base_model=base_model, max_length=max_length).wait()
    found = client.datasets.report(dataset)
    if json:
        print_json(found)
    else:
        _print_report(found)


@app.command()
def download(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="A file or directory.")] = Path(),
    data_format: Annotated[
        str, typer.Option("--format", help="jsonl, parquet, or original: the uploaded bytes.")
    ] = "jsonl",
    project: Project = None,
    json: Json = False,
) -> None:
    """Fetch a version; the file appears when it is complete and verified."""
    client = connect(project)
    with bar(f"download {dataset}", hidden=json) as progress:
        file = client.datasets.download(dataset, output, format=data_format, progress=progress)
    if json:
        print_json({"path": str(file), "size": file.stat().st_size})
    else:
        print_text(str(file))


@app.command()
def rm(
    dataset: DatasetArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete a dataset with all its versions."""
    client: Client = connect(project)
    found: Dataset = client.datasets.get(dataset)
    confirm(f"Delete the dataset {found.name} with all its versions?", yes=yes)
    found.delete()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(f"Deleted the dataset {found.name}.")


def _print_report(found: dict[str, Any]) -> None:
    """The report for people: score, findings, tokens."""
    from rich.text import Text

    if not found:
        say("There is no quality report yet.")
        return
    out = console()
    out.print(Text(f"Score {found.get('score')} of 100, {found.get('rows')} rows", style="bold"))
    findings = found.get("findings") or []
    if findings:
        print_rows(
            ["SEVERITY", "ROWS", "SHARE", "FINDING"],
            [
                [
                    finding.get("severity"),
                    finding.get("count"),
                    f"{finding.get('share') or 0:.1%}",
                    finding.get("message"),
                ]
                for finding in findings
            ],
        )
    else:
        out.print("Nothing was found wanting.")
    tokens = found.get("tokens")
    if tokens:
        facts = [
            f"{label} {tokens[key]:.0f}"
            for key, label in (
                ("mean", "mean"),
                ("p50", "median"),
                ("p95", "95 %"),
                ("max", "most"),
            )
            if tokens.get(key) is not None
        ]
        cut = tokens.get("over_length")
        out.print(plain(f"Tokens a row: {', '.join(facts)}; too long: {cut or 0} rows"))
