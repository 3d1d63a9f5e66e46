"""The command ``aiplatform datasets upload``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli import reading_options
from aiplatform.cli.dataset_reports import BaseModel, MaxLength
from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_json, say
from aiplatform.cli.progress_bar import bar
from aiplatform.cli.reading_options import BadRows, Delimiter, Encoding, Header, Map, Quote, Types
from aiplatform.cli.report_text import print_short
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import waiting_printer
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client import Client, Dataset


def upload(
    file: Annotated[str, typer.Argument(help="File to upload; - reads stdin.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the dataset. By default that of the file. If it exists, "
            "a version is added.",
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", help="Message that describes the version.")
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent",
            help="Version or tag that the new version follows. By default the current version.",
        ),
    ] = None,
    data_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="jsonl, json, csv, tsv, parquet, arrow or text. By default "
            "recognised from the name.",
        ),
    ] = None,
    mapped: Map = None,
    bad_rows: BadRows = "refuse",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    header: Header = None,
    types: Types = None,
    base_model: BaseModel = None,
    max_length: MaxLength = None,
    allow_identical: Annotated[
        bool,
        typer.Option(help="Add a version even if its rows are the same as in the current one."),
    ] = False,
    project: Project = None,
    wait: Annotated[
        bool,
        # The space keeps click from taking the slash for the start of an option name.
        typer.Option("--wait/--detach", " /--no-wait", help="Wait for the quality report."),
    ] = True,
    json: Json = False,
) -> None:
    """Upload a file as a dataset or as a new version of one, and show its quality report."""
    reading = reading_options.reading(mapped, encoding, delimiter, quote, header, bad_rows, types)
    client = connect(project)
    if name is None:
        if file == "-":
            raise typer.BadParameter(tr("data from stdin needs a --name"))
        name = Path(file).name.partition(".")[0]
    if file == "-" and data_format is None:
        data_format = "jsonl"
    options: dict[str, Any] = {
        "filename": f"stdin.{data_format}" if file == "-" else None,
        "format": data_format,
        "message": message,
        "base_model": base_model,
        "max_length": max_length,
        **reading,
    }
    adding = {"parent": parent, "allow_identical": allow_identical}
    with bar(tr("upload {name}", name=name), hidden=json) as progress:
        dataset = _send_file(client, name, file, {**options, "progress": progress}, adding)
    if not json:
        say(
            tr(
                "{name} {version}: {row_count} rows, {shape}.",
                name=dataset.name,
                version=dataset.version,
                row_count=dataset.row_count,
                shape=dataset.shape,
            )
        )
        read_as = client.datasets.version(dataset, dataset.version).read_as
        for note in reading_options.reading_notes(dataset.name, dataset.version, read_as):
            say(note)
    if wait:
        _wait_and_show(client, dataset, as_json=json)
    elif json:
        print_json(dataset)


def _send_file(
    client: "Client", name: str, file: str, options: dict[str, Any], adding: dict[str, Any]
) -> "Dataset":
    """Commit the file to the dataset, creating it if necessary, and return the dataset."""
    from aiplatform.client import NotFound

    data: Any = sys.stdin.buffer if file == "-" else Path(file)
    try:
        dataset = client.datasets.get(name)
    except NotFound:
        if adding["parent"] is not None:
            raise
        return client.datasets.upload(name, data, **options)
    dataset.add_version(data, **adding, **options)
    return dataset.refresh()


def _wait_and_show(client: "Client", dataset: "Dataset", *, as_json: bool) -> None:
    """Wait until the report is made, and print its summary.

    Raises:
        NotReady: if the report could not be made.
        CommandError: on Ctrl-C; the report is still being made.
    """
    label = f"{dataset.name}@{dataset.version}"
    try:
        ready = dataset.wait_ready(
            timeout=None,
            on_event=None
            if as_json
            else waiting_printer(tr("the quality report of {label}", label=label)),
        )
    except KeyboardInterrupt:
        raise CommandError(
            tr(
                "no longer waiting; {label} is committed, and its quality report continues",
                label=label,
            ),
            tr("`aiplatform datasets report {label:quoted}` shows it.", label=label),
            ExitCode.INTERRUPTED,
        ) from None
    if as_json:
        print_json(ready)
    else:
        verdict = client.datasets.verdict(ready, ready.version)
        print_short(ready.quality_report or {}, verdict, f"{ready.name}@{ready.version}")


def register(app: typer.Typer) -> None:
    """Add the command to ``aiplatform datasets``."""
    app.command()(upload)
