"""The commands ``aiplatform datasets download``, ``pull``, ``storage`` and ``gc``."""

from pathlib import Path
from typing import Annotated

import typer

from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_json, print_table, print_text, say, size_text
from aiplatform.cli.progress_bar import bar
from aiplatform.cli.session import connect
from aiplatform.language import tr

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Dataset: NAME, NAME@VERSION, NAME@TAG or uuid.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``aiplatform datasets``."""
    for command in (download, pull, storage, gc):
        app.command()(command)


def download(
    dataset: DatasetArgument,
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
    dataset: DatasetArgument,
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
        say(tr("There is more; run it again."))


def _sum(what: str, logical: int, charged: int, stored: int) -> str:
    return tr(
        "{what}: {logical} of files, {charged} charged, {stored} stored.",
        what=what,
        logical=size_text(logical),
        charged=size_text(charged),
        stored=size_text(stored),
    )
