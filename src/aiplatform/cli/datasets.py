"""The commands ``aiplatform datasets``."""

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli import (
    dataset_changes,
    dataset_columns,
    dataset_files,
    dataset_imports,
    dataset_quality,
    dataset_reports,
    dataset_upload,
    partial_uploads,
)
from aiplatform.cli.dataset_conditions import WHERE_HELP
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
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client, Dataset

app = group("Datasets: upload, change, check, browse, fetch.")
dataset_changes.register(app)
dataset_columns.register(app)
dataset_files.register(app)
dataset_imports.register(app)
dataset_quality.register(app)
dataset_reports.register(app)
app.add_typer(partial_uploads.app, name="uploads")

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Dataset: NAME, NAME@VERSION or uuid.")
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
        empty=tr("There is no dataset here yet. Upload one: aiplatform datasets upload FILE"),
    )


dataset_upload.register(app)


@app.command()
def show(dataset: DatasetArgument, project: Project = None, json: Json = False) -> None:
    """Show a dataset, or one version of it."""
    client = connect(project)
    if "@" in dataset:
        print_record(
            client.datasets.version(dataset), as_json=json, skip=("report",), client=client
        )
    else:
        print_record(
            client.datasets.get(dataset), as_json=json, skip=("quality_report",), client=client
        )


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
        empty=tr("It has no versions."),
    )


@app.command()
def rows(
    dataset: DatasetArgument,
    offset: Annotated[
        int, typer.Option("--offset", min=0, help="Number of the first row, counted from 0.")
    ] = 0,
    search: Annotated[
        str | None, typer.Option("--search", help="Only rows that contain this text.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option("--where", help=WHERE_HELP)] = None,
    finding: Annotated[
        str | None,
        typer.Option(
            "--finding", help="Only rows of this finding of the quality report, such as duplicates."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, max=200, help="Draw this many rows at random instead."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, help="Seed of the sample; the same seed draws the same rows."
        ),
    ] = 0,
    places: Annotated[
        bool,
        typer.Option("--places", help='Print each row as {"place": …, "row": …}, for programs.'),
    ] = False,
    project: Project = None,
    limit: Limit = 10,
    json: Json = False,
) -> None:
    """Print rows, one JSON object per line; with --json, one list.

    In a terminal, each row is preceded by its number, counted from 0, which `patch` accepts.
    """
    if sample is not None and (search is not None or where or offset):
        raise typer.BadParameter(tr("--sample can't be used with --search, --where or --offset"))
    datasets = connect(project).datasets
    if sample is not None:
        found = datasets.sample(dataset, sample, seed=seed, finding=finding, places=True)
    else:
        pages = datasets.rows(
            dataset, offset=offset, search=search, where=where or (), finding=finding, places=True
        )
        found = pages.take(limit)
    if json:
        print_json([one._asdict() if places else one.row for one in found])
        return
    width = max((len(str(one.place)) for one in found), default=0)
    for one in found:
        if places:
            print_text(jsonlib.dumps(one._asdict(), ensure_ascii=False))
        elif sys.stdout.isatty():
            print_text(f"{one.place:>{width}}  {jsonlib.dumps(one.row, ensure_ascii=False)}")
        else:
            print_text(jsonlib.dumps(one.row, ensure_ascii=False))


@app.command()
def rename(
    dataset: DatasetArgument,
    name: Annotated[
        str, typer.Argument(metavar="NEW-NAME", help="New name, unique in the project.")
    ],
    project: Project = None,
    json: Json = False,
) -> None:
    """Rename a dataset. References to it stay valid."""
    if "@" in dataset:
        raise typer.BadParameter(tr("a version has no name of its own: give the dataset's"))
    datasets = connect(project).datasets
    found = datasets.get(dataset)
    changed = found.update(name=name)
    if json:
        print_json(changed)
    else:
        say(tr("{before} is now {after}.", before=found.name, after=changed.name))


@app.command()
def rm(
    dataset: DatasetArgument, project: Project = None, yes: Yes = False, json: Json = False
) -> None:
    """Delete a dataset with all its versions."""
    if "@" in dataset:
        raise typer.BadParameter(tr("this deletes all versions; to delete one, use rm-version"))
    client: Client = connect(project)
    found: Dataset = client.datasets.get(dataset)
    confirm(tr("Delete the dataset {name} with all its versions?", name=found.name), yes=yes)
    print_deleted(
        found.uuid, tr("the dataset {name}", name=found.name), found.delete(), as_json=json
    )
