"""The commands ``aiplatform datasets upload``, ``uploads`` and ``import``."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aiplatform.cli import reading_options
from aiplatform.cli.dataset_quality import BaseModel, MaxLength
from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.names import find_by_uuid_prefix
from aiplatform.cli.options import Detach, Json, Limit, Project, Yes, group
from aiplatform.cli.output import age_text, print_json, print_json_line, print_table, say, size_text
from aiplatform.cli.reading_options import (
    BadRows,
    Delimiter,
    Encoding,
    Header,
    Map,
    Quote,
    Types,
    reading,
    reading_notes,
)
from aiplatform.cli.report_text import print_short
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.task_display import bar, follow, say_queued, waiting_printer
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


def import_rows(
    source: Annotated[
        str,
        typer.Argument(
            help="https://…, s3://BUCKET/KEY, or hub:OWNER/NAME[@REVISION] for the "
            "hub in the platform's settings."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the dataset. By default that of the source. If it "
            "exists, a version is added.",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="From a hub: fetch only this file.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="From a hub: fetch this split, such as train or test."),
    ] = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="From a hub: fetch this configuration.")
    ] = (None),
    region: Annotated[
        str | None, typer.Option("--region", help="From S3: region of the bucket.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="From S3: address of a store other than Amazon's."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VARIABLE=NAME",
            help="Use a stored secret as credential: VARIABLE=NAME, such as "
            "HF_TOKEN=hub; also HTTP_TOKEN, AWS_ACCESS_KEY_ID, … Can be "
            "repeated.",
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", help="Message that describes the version.")
    ] = None,
    data_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Format of the file. By default recognised from its name and content."
        ),
    ] = None,
    mapped: Map = None,
    bad_rows: BadRows = "refuse",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    header: Header = None,
    types: Types = None,
    allow_identical: Annotated[
        bool,
        typer.Option(help="Add a version even if its rows are the same as in the current one."),
    ] = False,
    mode: Annotated[
        Literal["replace", "append", "upsert", "delete"] | None,
        typer.Option(
            "--mode",
            help="How to change an existing dataset: replace its rows, append, "
            "upsert (by key) or delete (by key).",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Column that identifies a row, for upsert and delete."),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", help="Version or tag to change. By default the current version."),
    ] = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Import a dataset on the platform: from the web, S3, or a hub."""
    from aiplatform.client import NotFound

    place, default_name = _parse_source(source, file, split, subset, region, endpoint)
    name = name or default_name
    options: dict[str, Any] = {
        "format": data_format,
        "message": message,
        "allow_identical": allow_identical,
        "secrets": _secrets(secret or []),
        **reading(mapped, encoding, delimiter, quote, header, bad_rows, types),
    }
    if (mode in {"upsert", "delete"}) != (key is not None):
        raise typer.BadParameter(tr("--key can only be used with --mode upsert or --mode delete"))
    client = connect(project)
    try:
        options["dataset"] = client.datasets.get(name)
        options |= {"mode": mode, "key": key, "parent": parent}
    except NotFound:
        if mode not in {None, "replace"} or parent is not None:
            raise
        options["name"] = name
    task = client.datasets.import_from(place, **options)
    if detach:
        if json:
            print_json(task)
        else:
            say_queued(task)
        return
    task = follow(client, task, as_json=json)
    if json:
        print_json_line(task)
        return
    made = task.result or {}
    version = client.datasets.version(made["dataset"], made["version"])
    say(
        tr(
            "{name} {version}: {row_count} rows, {shape}.",
            name=name,
            version=version.version,
            row_count=version.row_count,
            shape=version.shape,
        )
    )
    for note in reading_notes(name, version.version, version.read_as):
        say(note)


def _parse_source(
    text: str,
    file: str | None,
    split: str | None,
    subset: str | None,
    region: str | None,
    endpoint: str | None,
) -> tuple[dict[str, Any], str]:
    """Return the source that the user named, and a default name for the dataset.

    Raises:
        typer.BadParameter: if the kind of source is unknown, or the options don't apply to it.
    """
    of_hub = {"file": file, "split": split, "subset": subset}
    of_s3 = {"region": region, "endpoint": endpoint}
    if re.match(r"https?://", text):
        source, given, others = {"kind": "url", "url": text}, {}, {**of_hub, **of_s3}
    elif text.startswith("s3://"):
        source, given, others = {"kind": "s3", "uri": text}, of_s3, of_hub
    elif text.startswith("hub:"):
        repository, _, revision = text.removeprefix("hub:").partition("@")
        source = {"kind": "hub", "repository": repository}
        given, others = {**of_hub, "revision": revision or None}, of_s3
    else:
        raise typer.BadParameter(tr("give https://…, s3://BUCKET/KEY, or hub:OWNER/NAME"))
    unsuitable = next((name for name, value in others.items() if value is not None), None)
    if unsuitable is not None:
        raise typer.BadParameter(
            tr("--{option} can't be used with {text}", option=unsuitable, text=text)
        )
    last = re.sub(r"[?#@].*", "", text).rstrip("/").rpartition("/")[2]
    named = {key: value for key, value in given.items() if value is not None}
    return {**source, **named}, last.partition(".")[0] or "imported"


def _secrets(given: list[str]) -> dict[str, str]:
    """Parse ``VARIABLE=NAME`` options."""
    found = {}
    for text in given:
        variable, equals, name = text.partition("=")
        if not (variable and equals and name):
            raise typer.BadParameter(
                tr("{text!r} is not VARIABLE=NAME", text=text), param_hint="--secret"
            )
        found[variable] = name
    return found


SEARCHED = 500

uploads_app = group("Resumable uploads: list and cancel them.")


@uploads_app.command()
def ls(project: Project = None, limit: Limit = 100, json: Json = False) -> None:
    """List unfinished uploads, and those that have ended within a day."""
    print_table(
        connect(project).datasets.uploads().take(limit),
        {
            "UPLOAD": lambda u: str(u.uuid)[:8],
            "DATASET": lambda u: u.name or u.dataset,
            "FILE": lambda u: u.filename,
            "STATUS": lambda u: u.status,
            "ARRIVED": lambda u: tr(
                "{done} of {total}", done=size_text(u.offset), total=size_text(u.length)
            ),
            "STARTED": lambda u: age_text(u.created_at),
        },
        as_json=json,
        empty=tr("There are no resumable uploads."),
    )


@uploads_app.command()
def cancel(
    upload: Annotated[
        str, typer.Argument(metavar="UPLOAD", help="Uuid, or its first 6 characters or more.")
    ],
    project: Project = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Cancel an upload, and delete the part that was received."""
    datasets = connect(project).datasets
    found = find_by_uuid_prefix(
        upload,
        datasets.uploads().take(SEARCHED),
        refusal=tr("{upload} does not identify an upload of this project", upload=upload),
        hint=tr("`aiplatform datasets uploads ls` shows them."),
    )
    confirm(
        tr(
            "Cancel the upload of {file}? The server has received {size} of it.",
            file=found.filename or found.uuid,
            size=size_text(found.offset),
        ),
        yes=yes,
    )
    found.cancel()
    if json:
        print_json({"uuid": str(found.uuid), "done": True})
    else:
        say(tr("Cancelled the upload {uuid}.", uuid=found.uuid))
