"""The commands ``aiplatform datasets append``, ``map`` and ``columns``."""

from typing import Annotated

import typer

from aiplatform.cli.dataset_changes import (
    AllowIdentical,
    DatasetArgument,
    Detach,
    Format,
    Message,
    Parent,
    print_new_version,
    upload_change,
)
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_table
from aiplatform.cli.reading_options import (
    BadRows,
    Delimiter,
    Encoding,
    Header,
    Map,
    Quote,
    Types,
    pairs,
    reading,
)
from aiplatform.cli.session import connect
from aiplatform.language import tr


def append(
    dataset: DatasetArgument,
    file: Annotated[str, typer.Argument(help="File with rows; - reads JSON Lines from stdin.")],
    message: Message = None,
    parent: Parent = None,
    data_format: Format = None,
    mapped: Map = None,
    bad_rows: BadRows = "refuse",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    header: Header = None,
    types: Types = None,
    allow_identical: AllowIdentical = False,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Commit a version with additional rows."""
    options = reading(mapped, encoding, delimiter, quote, header, bad_rows, types)
    options["allow_identical"] = allow_identical
    upload_change(
        "append",
        dataset,
        file,
        None,
        message,
        parent,
        data_format,
        project,
        json,
        options,
        detach=detach,
    )


def map_columns(
    dataset: DatasetArgument,
    mapped: Annotated[
        list[str],
        typer.Argument(metavar="COLUMN=WHAT...", help="Such as question=prompt answer=completion."),
    ],
    message: Message = None,
    parent: Parent = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Set the meaning of columns, and commit a version with the resulting shape."""
    made = connect(project).datasets.map(dataset, pairs(mapped), message=message, parent=parent)
    print_new_version(made, json, detach=detach)


def columns(dataset: DatasetArgument, project: Project = None, json: Json = False) -> None:
    """List the columns of a dataset or of one of its versions, with their types."""
    datasets = connect(project).datasets
    version = datasets.version(dataset) if "@" in dataset else None
    if version is None:
        head = datasets.get(dataset)
        version = datasets.version(head, head.version)
    print_table(
        version.columns,
        {"COLUMN": lambda c: c["name"], "TYPE": lambda c: c["type"]},
        as_json=json,
        empty=tr("It has no columns."),
    )


def register(app: typer.Typer) -> None:
    """Add the commands to ``aiplatform datasets``."""
    app.command()(append)
    app.command()(columns)
    app.command("map")(map_columns)
