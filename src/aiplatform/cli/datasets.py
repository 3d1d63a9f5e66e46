"""``aiplatform datasets``."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli import (
    dataset_changes,
    dataset_columns,
    dataset_files,
    dataset_imports,
    dataset_intake,
    dataset_quality,
    dataset_reports,
)
from aiplatform.cli.dataset_conditions import condition
from aiplatform.cli.dataset_intake import BadRows, Delimiter, Encoding, Header, Map, Quote
from aiplatform.cli.dataset_reports import BaseModel, MaxLength, print_report
from aiplatform.cli.options import Json, Limit, Project, Yes, group
from aiplatform.cli.output import (
    age_text,
    print_deleted,
    print_json,
    print_record,
    print_table,
    print_text,
    say,
    size_text,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.transfer import bar

if TYPE_CHECKING:
    from aiplatform.client import Client, Dataset

app = group("Datasets: upload, change, check, browse, fetch.")
dataset_changes.register(app)
dataset_columns.register(app)
dataset_files.register(app)
dataset_imports.register(app)
dataset_quality.register(app)
dataset_reports.register(app)

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name, NAME@VERSION, or uuid.")
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
        typer.Option(
            "--format", help="jsonl, json, csv, tsv, parquet, arrow, text; else by the name."
        ),
    ] = None,
    mapped: Map = None,
    bad_rows: BadRows = "refuse",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    header: Header = None,
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

    reading = dataset_intake.reading(mapped, encoding, delimiter, quote, header, bad_rows)
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
            **reading,
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
    if bad_rows == "quarantine":
        read_as = client.datasets.version(dataset, dataset.version).read_as
        if note := dataset_intake.quarantine_note(dataset.name, dataset.version, read_as):
            say(note)
    if wait:
        print_report(dataset.quality_report or {})


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
    dataset: DatasetArgument,
    offset: Annotated[int, typer.Option("--offset", min=0, help="The place of the first.")] = 0,
    search: Annotated[str | None, typer.Option("--search", help="Rows with this text.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="COLUMN OP VALUE, as for filter.")
    ] = None,
    finding: Annotated[
        str | None, typer.Option("--finding", help="Rows of this finding, by its code.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, max=200, help="Draw so many instead.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same draws the same.")] = 0,
    project: Project = None,
    limit: Limit = 10,
    json: Json = False,
) -> None:
    """Print rows, one JSON object a line; with --json, one list."""
    if sample is not None and (search is not None or where or offset):
        raise typer.BadParameter("--sample draws from all rows: no --search, --where, --offset")
    datasets = connect(project).datasets
    if sample is not None:
        found = datasets.sample(dataset, sample, seed=seed, finding=finding)
    else:
        conditions = [condition(text) for text in where or ()]
        rows = datasets.rows(
            dataset, offset=offset, search=search, where=conditions, finding=finding
        )
        found = rows.take(limit)
    if json:
        print_json(found)
        return
    for row in found:
        print_text(jsonlib.dumps(row, ensure_ascii=False))


@app.command()
def rm(
    dataset: DatasetArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete a dataset with all its versions."""
    if "@" in dataset:
        raise typer.BadParameter("this deletes all versions; for one there is rm-version")
    client: Client = connect(project)
    found: Dataset = client.datasets.get(dataset)
    confirm(f"Delete the dataset {found.name} with all its versions?", yes=yes)
    print_deleted(found.uuid, f"the dataset {found.name}", found.delete(), as_json=json)
