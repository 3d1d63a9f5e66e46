"""The command ``aiplatform datasets import``."""

import re
from typing import Annotated, Any, Literal

import typer

from aiplatform.cli.options import Detach, Json, Project
from aiplatform.cli.output import print_json, print_json_line, say
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
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import follow, say_queued
from aiplatform.language import tr


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


def register(app: typer.Typer) -> None:
    """Add the command to ``aiplatform datasets``."""
    app.command("import")(import_rows)
