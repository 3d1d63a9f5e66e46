"""The commands ``aiplatform datasets patch``, ``filter``, ``split``, ``append`` and others."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.errors import CommandError, ExitCode
from aiplatform.cli.options import Json, Limit, Project, Yes
from aiplatform.cli.output import age_text, print_json, print_table, print_text, say
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
    reading_notes,
)
from aiplatform.cli.session import confirm, connect
from aiplatform.cli.task_display import bar, waiting_printer
from aiplatform.language import tr

if TYPE_CHECKING:
    from uuid import UUID

    from aiplatform.client import Client, Dataset, DatasetVersion

WHERE_HELP = (
    'A filter, such as \'score >= 0.5 and not label in ("a", "b")\'. Can be '
    "repeated; all must be met. See docs/filters.md."
)


def json_or_text(text: str) -> Any:
    """Return the value of typed text: decoded if it is JSON, otherwise the text itself."""
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text


DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Dataset: NAME, NAME@VERSION, NAME@TAG or uuid.")
]
Message = Annotated[
    str | None, typer.Option("--message", help="Message that describes the version.")
]
Parent = Annotated[
    str | None,
    typer.Option(
        "--parent",
        help="Version or tag to change. By default the version in DATASET, else the current one.",
    ),
]
DetachReport = Annotated[bool, typer.Option("--detach", help="Don't wait for the quality report.")]
AllowIdentical = Annotated[
    bool, typer.Option(help="Add a version even if its rows are the same as before.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="Format of the file. By default recognised from its name."),
]
SHOWN = 120


def patch(
    dataset: DatasetArgument,
    file: Annotated[
        str | None,
        typer.Argument(
            help="File with rows that have a key. They replace rows with the same "
            "key, or are added."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Column that identifies a row.")] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the rows whose keys are in the file.")
    ] = False,
    set_cells: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a cell: ROW.COLUMN=VALUE, with a JSON value or text. Can be repeated.",
        ),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", help="Add this row, a JSON object. Can be repeated."),
    ] = None,
    delete_row: Annotated[
        list[int] | None,
        typer.Option(
            "--delete-row",
            min=0,
            help="Delete the row with this number, counted from 0. Can be repeated.",
        ),
    ] = None,
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
    detach: DetachReport = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Commit a version with changed rows: by a key column and a file, or by row number."""
    if file is not None:
        if key is None or set_cells or add or delete_row:
            raise typer.BadParameter(
                tr(
                    "with a file, --key is required, and --set, --add and --delete-row can't be "
                    "used"
                )
            )
        mode = "delete" if delete else "upsert"
        options = reading(mapped, encoding, delimiter, quote, header, bad_rows, types)
        options["allow_identical"] = allow_identical
        upload_change(
            mode,
            dataset,
            file,
            key,
            message,
            parent,
            data_format,
            project,
            json,
            options,
            detach=detach,
        )
        return
    of_files = (key, data_format, mapped, encoding, delimiter, quote, header, types or None)
    if delete or allow_identical or bad_rows != "refuse" or any(o is not None for o in of_files):
        raise typer.BadParameter(
            tr("--key, --delete, --allow-identical and the options for reading a file need a file")
        )
    changes: dict[int, dict[str, Any]] = {}
    for text in set_cells or ():
        cell, equals, value = text.partition("=")
        row, dot, column = cell.partition(".")
        if not equals or not dot or not row.isdigit():
            raise typer.BadParameter(
                tr("--set {text}: give ROW.COLUMN=VALUE, as in 17.label=spam", text=text)
            )
        changes.setdefault(int(row), {})[column] = json_or_text(value)
    rows = [_parse_row(text) for text in add or ()]
    if not (changes or rows or delete_row):
        raise typer.BadParameter(tr("give a file, or --set, --add or --delete-row"))
    made = connect(project).datasets.patch(
        dataset, set=changes, add=rows, delete=delete_row or (), message=message, parent=parent
    )
    print_new_version(made, json, detach=detach)


def filter_rows(
    dataset: DatasetArgument,
    where: Annotated[list[str], typer.Option("--where", help=WHERE_HELP)],
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove these rows, and keep the others.")
    ] = False,
    message: Message = None,
    parent: Parent = None,
    detach: DetachReport = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Commit a version with only the rows that meet all conditions."""
    made = connect(project).datasets.filter(
        dataset, where, drop=drop, message=message, parent=parent
    )
    print_new_version(made, json, detach=detach)


def split(
    dataset: DatasetArgument,
    part: Annotated[
        list[str],
        typer.Option(
            "--part",
            help="A part: NAME=FRACTION. Repeat it for each part; the fractions must add up to 1.",
        ),
    ],
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, help="Seed of the split; the same seed gives the same split."
        ),
    ] = 0,
    stratify: Annotated[
        str | None,
        typer.Option("--stratify", help="Column whose values are equally frequent in each part."),
    ] = None,
    by_group: Annotated[
        str | None,
        typer.Option("--group", help="Column; rows with the same value stay in one part."),
    ] = None,
    by_row: Annotated[
        bool,
        typer.Option("--by-row", help="Keep only equal rows together, not all rows of a question."),
    ] = False,
    near: Annotated[
        bool,
        typer.Option(
            "--near", help="Also keep rows in the same part if they differ only in a few words."
        ),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            help="Name of the dataset of a part: PART=NAME. By default "
            "DATASET-PART. Can be repeated.",
        ),
    ] = None,
    message: Message = None,
    detach: DetachReport = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Split a version into new datasets named DATASET-PART.

    All rows with the same question stay in one part.
    """
    fractions: dict[str, float] = {}
    for text in part:
        # Split at the last equals sign: the name may contain one, the fraction cannot.
        label, _, share = text.rpartition("=")
        try:
            fractions[label] = float(share)
        except ValueError:
            raise typer.BadParameter(
                tr("--part {text}: give NAME=FRACTION, as in train=0.9", text=text)
            ) from None
    names: dict[str, str] = {}
    for text in name or ():
        label, equals, name_of_part = text.partition("=")
        if not equals or not name_of_part or label not in fractions:
            raise typer.BadParameter(
                tr(
                    "--name {text}: give PART=NAME, with a part of {fractions}",
                    text=text,
                    fractions=", ".join(fractions),
                )
            )
        names[label] = name_of_part
    client = connect(project)
    made = client.datasets.split(
        dataset,
        fractions,
        seed=seed,
        stratify=stratify,
        group=by_group,
        by="row" if by_row else "question",
        near=near,
        names=names,
        message=message,
    )
    if not detach:
        made = [await_report(client, part, quiet=json) for part in made]
    print_table(
        made,
        {"NAME": lambda d: d.name, "ROWS": lambda d: d.row_count, "UUID": lambda d: d.uuid},
        as_json=json,
        empty=tr("No dataset was created."),
    )


def restore(
    dataset: Annotated[str, typer.Argument(metavar="DATASET@VERSION", help="NAME@v2 or NAME@TAG.")],
    message: Message = None,
    detach: DetachReport = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Commit the rows of an earlier version again, as the next version."""
    name, _, version = dataset.partition("@")
    if not version:
        raise typer.BadParameter(tr("name the version: NAME@v2"))
    restored = connect(project).datasets.restore(name, version, message=message)
    print_new_version(restored, json, detach=detach)


def tag(
    dataset: DatasetArgument,
    name: Annotated[
        str | None, typer.Argument(help="Name of the tag. Without it, all tags are listed.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tag.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Set a tag on NAME@VERSION, move it there, or list the tags."""
    datasets = connect(project).datasets
    head, _, version = dataset.partition("@")
    if name is None:
        found = datasets.tags(head)
    elif remove:
        datasets.untag(head, name)
        found = datasets.tags(head)
    else:
        found = datasets.tag(head, name, version or datasets.get(head).version or "")
    print_table(
        found,
        {
            "TAG": lambda t: t.name,
            "VERSION": lambda t: t.version,
            "BY": lambda t: t.moved_by.username if t.moved_by else None,
        },
        as_json=json,
        empty=tr("It has no tags."),
    )


def log(
    dataset: DatasetArgument, project: Project = None, limit: Limit = 100, json: Json = False
) -> None:
    """Show how each version of a dataset was made, newest first."""
    datasets = connect(project).datasets
    at: dict[str, list[str]] = {}
    for found in datasets.tags(dataset):
        at.setdefault(found.version, []).append(found.name)
    print_table(
        datasets.versions(dataset).take(limit),
        {
            "VERSION": lambda v: v.version,
            "PARENT": lambda v: v.parent,
            "TAGS": lambda v: ", ".join(at.get(v.version, [])) or None,
            "OPERATION": lambda v: (v.made_by or {}).get("operation", "upload"),
            "ROWS": lambda v: v.row_count,
            "AUTHOR": lambda v: v.author.username if v.author else None,
            "CREATED": lambda v: age_text(v.created_at),
            "MESSAGE": lambda v: v.message,
        },
        as_json=json,
        empty=tr("It has no versions."),
    )


def diff(
    dataset: Annotated[str, typer.Argument(metavar="DATASET@BEFORE", help="NAME@v1 or NAME@TAG.")],
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AFTER",
            help="The other version: NAME@v2 or v2. By default the current version.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Column that pairs rows. By default equal rows are paired."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="Only rows of this kind: added, removed or changed. Can be repeated."
        ),
    ] = None,
    project: Project = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Show the differences between two versions: rows, cells and columns."""
    name, before, after = _versions_to_compare(dataset, versions or [])
    found = connect(project).datasets.diff(name, before, after, key=key, kinds=kind or ())
    entries = found.entries.take(limit)
    if json:
        print_json({"before": found.before, "after": found.after, "summary": found.summary,
                    "items": entries})  # fmt: skip
        return
    facts = found.summary
    say(
        tr(
            "{before} → {after}: {added} added, {removed} removed, {changed} changed, {unchanged} "
            "unchanged.",
            before=found.before,
            after=found.after,
            added=facts["added"],
            removed=facts["removed"],
            changed=facts["changed"],
            unchanged=facts["unchanged"],
        )
    )
    for change, columns in facts["columns"].items():
        for column in columns:
            say(tr("Column {name}: {change}", name=column["name"], change=change))
    for entry in entries:
        for line in _entry_lines(entry):
            print_text(line)


def _versions_to_compare(dataset: str, versions: list[str]) -> tuple[str, str, str | None]:
    """Return the dataset and the versions to compare; the second is None for the current one.

    Raises:
        typer.BadParameter: if versions are missing, there are too many, or they belong to different
            datasets.
    """
    name, _, before = dataset.partition("@")
    rest = list(versions)
    if not before and rest:
        before = rest.pop(0)
    if not before:
        raise typer.BadParameter(tr("name the version to compare with: {name}@v1", name=name))
    named = [before, *rest]
    for number, version in enumerate(named):
        head, at, label = version.rpartition("@")
        if at and head not in {"", name}:
            raise typer.BadParameter(
                tr(
                    "{version} is a version of another dataset; compare two versions of the "
                    "same dataset: {name}@v1 {name}@v2",
                    version=version,
                    name=name,
                )
            )
        named[number] = label
    if len(named) > 2:
        raise typer.BadParameter(tr("name two versions, such as {name}@v1 {name}@v2", name=name))
    return name, named[0], named[1] if len(named) == 2 else None


def _entry_lines(entry: dict[str, Any]) -> list[str]:
    if entry["kind"] == "changed":
        return [f"~ {entry['before']} → {entry['after']}"] + [
            f"    {name}: {_cell_text(cell['before'])} → {_cell_text(cell['after'])}"
            for name, cell in entry["cells"].items()
        ]
    sign, place = ("+", "after") if entry["kind"] == "added" else ("-", "before")
    return [f"{sign} {entry[place]} {_cell_text(entry['row'])}"]


def _cell_text(value: Any) -> str:
    text = jsonlib.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def rm_version(
    dataset: Annotated[str, typer.Argument(metavar="DATASET@VERSION", help="NAME@v2.")],
    project: Project = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete a version. Refused if another version was made from it, or a task has read it."""
    name, _, version = dataset.partition("@")
    if not version:
        raise typer.BadParameter(tr("name the version: NAME@v2"))
    datasets = connect(project).datasets
    found = datasets.version(name, version)
    confirm(
        tr(
            "Delete {name} {version} with its {row_count} rows?",
            name=name,
            version=found.version,
            row_count=found.row_count,
        ),
        yes=yes,
    )
    datasets.delete_version(found, found.version)
    if json:
        print_json({"version": found.version, "done": True})
    else:
        say(tr("Deleted {name} {version}.", name=name, version=found.version))


def register(app: typer.Typer) -> None:
    """Add the commands to ``aiplatform datasets``."""
    for command in (patch, split, restore, tag, log, diff):
        app.command()(command)
    app.command("filter")(filter_rows)
    app.command("rm-version")(rm_version)
    app.command()(append)
    app.command()(columns)
    app.command("map")(map_columns)


def upload_change(
    mode: str,
    dataset: str,
    file: str,
    key: str | None,
    message: str | None,
    parent: str | None,
    data_format: str | None,
    project: str | None,
    json: bool,
    options: dict[str, Any],
    *,
    detach: bool,
) -> None:
    """Commit a new version of a dataset, changed by the rows of a file according to ``mode``."""
    client = connect(project)
    data: Any = sys.stdin.buffer if file == "-" else Path(file)
    if file == "-":
        options = {"filename": "stdin.jsonl", **options}
    with bar(tr("upload {file}", file=file), hidden=json) as progress:
        made = client.datasets.add_version(
            dataset,
            data,
            mode=mode,
            key=key,
            parent=parent,
            message=message,
            format=data_format,
            progress=progress,
            **options,
        )
    print_new_version(made, json, detach=detach)


def print_new_version(made: "DatasetVersion", json: bool, *, detach: bool = False) -> None:
    """Print the new version, and wait for its quality report unless ``detach`` is set.

    Raises:
        NotReady: if the report could not be made.
        CommandError: on Ctrl-C; the version is committed, and the report is still being made.
    """
    if json:
        if not detach:
            await_report(made.client, made.dataset, quiet=True)
        print_json(made)
        return
    facts = made.made_by or {}
    made_text = tr(
        "{version}, made from {parent}: {rows} rows.",
        version=made.version,
        parent=made.parent,
        rows=made.row_count,
    )
    counts = [
        text
        for key, text in (
            ("added", tr("{count} added", count=facts.get("added"))),
            ("changed", tr("{count} changed", count=facts.get("changed"))),
            ("deleted", tr("{count} deleted", count=facts.get("deleted"))),
        )
        if facts.get(key)
    ]
    say(f"{made_text} {', '.join(counts)}".rstrip(" "))
    for note in reading_notes(str(made.dataset), made.version, made.read_as):
        say(note)
    if not detach:
        await_report(made.client, made.dataset)


def await_report(client: "Client", dataset: "UUID | Dataset", *, quiet: bool = False) -> "Dataset":
    """Wait for the current version's report, printing why it is pending; return the dataset.

    Raises:
        NotReady: if the report could not be made.
        CommandError: on Ctrl-C; the report is still being made.
    """
    try:
        return client.datasets.wait_ready(
            dataset,
            timeout=None,
            on_event=None if quiet else waiting_printer(tr("the quality report")),
        )
    except KeyboardInterrupt:
        raise CommandError(
            tr("no longer waiting; the rows are committed, and the quality report continues"),
            tr("`aiplatform datasets report DATASET` shows it."),
            ExitCode.INTERRUPTED,
        ) from None


def _parse_row(text: str) -> dict[str, Any]:
    try:
        row = jsonlib.loads(text)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise typer.BadParameter(tr('--add {text}: give a row as JSON, {{"text": "…"}}', text=text))
    return row


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
    detach: DetachReport = False,
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
    detach: DetachReport = False,
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
