"""The commands ``aiplatform datasets``: list, show, browse, download and delete."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aiplatform.cli import dataset_changes, dataset_quality, dataset_upload
from aiplatform.cli.dataset_changes import WHERE_HELP
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
from aiplatform.cli.task_display import bar
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client, Dataset

VersionArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Dataset: NAME, NAME@VERSION, NAME@TAG or uuid.")
]


def download(
    dataset: VersionArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File or directory to write to.")
    ] = Path(),
    data_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="jsonl, csv, parquet, original (the uploaded file) or quarantine "
            "(rows that could not be read).",
        ),
    ] = "jsonl",
    project: Project = None,
    json: Json = False,
) -> None:
    """Download a version. The file appears when it is complete and verified."""
    client = connect(project)
    with bar(tr("download {dataset}", dataset=dataset), hidden=json) as progress:
        file = client.datasets.download(dataset, output, format=data_format, progress=progress)
    if json:
        print_json({"path": str(file), "size": file.stat().st_size})
    else:
        print_text(str(file))


def pull(
    dataset: VersionArgument,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help="Directory or file to copy it to. By default it stays in the cache."
        ),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Download a version as Parquet into the cache, and print its path.

    Only parts that this machine lacks are transferred. An interrupted pull can be continued.
    """
    client = connect(project)
    with bar(tr("pull {dataset}", dataset=dataset), hidden=json) as progress:
        found = client.datasets.pull(dataset, to=to, progress=progress)
    if json:
        print_json(
            {
                "path": str(found.path),
                "version": found.version,
                "sha256": found.file_hash,
                "size": found.file_size,
                "fetched": found.fetched,
            }
        )
        return
    say(
        tr(
            "{version}: {file_size}, of which {fetched} were downloaded.",
            version=found.version,
            file_size=size_text(found.file_size),
            fetched=size_text(found.fetched),
        )
    )
    print_text(str(found.path))


def storage(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="Show the versions of this dataset.")
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the storage of datasets: as downloaded, as charged to the quota, and as stored."""
    datasets = connect(project).datasets
    if dataset is not None:
        found = datasets.storage_of(dataset)
        if json:
            print_json(found)
            return
        print_table(
            found.versions or [],
            {
                "VERSION": lambda v: v.version,
                "FILES": lambda v: size_text(v.logical),
                "CHARGED": lambda v: size_text(v.charged),
                "EXCLUSIVE": lambda v: size_text(v.alone),
            },
            as_json=False,
            empty=tr("It has no versions."),
        )
        say(_sum(found.name, found.logical, found.charged, found.stored))
        return
    report = datasets.storage()
    if json:
        print_json(report)
        return
    print_table(
        report.datasets,
        {
            "NAME": lambda d: d.name,
            "VERSIONS": lambda d: d.version_count,
            "FILES": lambda d: size_text(d.logical),
            "CHARGED": lambda d: size_text(d.charged),
            "STORED": lambda d: size_text(d.stored),
        },
        as_json=False,
        empty=tr("There is no dataset here yet."),
    )
    say(_sum(tr("All"), report.logical, report.charged, report.stored))


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be freed, and do nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete stored content that nothing has referred to for a day; for administrators.

    It is marked first, and deleted an hour later, by this command or by a worker.
    """
    found = connect(None).datasets.gc(dry_run=dry_run)
    if json:
        print_json(found)
        return
    deleted = {"count": found.deleted.count, "size": size_text(found.deleted.size)}
    marked = {"count": found.marked.count, "size": size_text(found.marked.size)}
    if dry_run:
        say(tr("{count} files would be deleted: {size}.", **deleted))
        say(tr("{count} files would be marked, to be deleted in an hour: {size}.", **marked))
    else:
        say(tr("{count} files deleted: {size}.", **deleted))
        say(tr("{count} files marked, to be deleted in an hour: {size}.", **marked))
    say(
        tr(
            "{count} marked files are not due yet: {size}.",
            count=found.waiting.count,
            size=size_text(found.waiting.size),
        )
    )
    if not found.complete:
        say(tr("There is more to delete; run the command again."))


def _sum(what: str, logical: int, charged: int, stored: int) -> str:
    return tr(
        "{what}: {logical} of files, {charged} charged, {stored} stored.",
        what=what,
        logical=size_text(logical),
        charged=size_text(charged),
        stored=size_text(stored),
    )


app = group("Datasets: upload, change, check, browse, fetch.")
dataset_changes.register(app)
for command in (download, pull, storage, gc):
    app.command()(command)
app.command("import")(dataset_upload.import_rows)
dataset_quality.register(app)
app.add_typer(dataset_upload.uploads_app, name="uploads")

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


app.command()(dataset_upload.upload)


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
        raise typer.BadParameter(tr("a version can't be renamed: give the name of its dataset"))
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
