"""Options of commands that read files of rows."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import typer

from aiplatform.language import current, tr

Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=WHAT",
        help="Meaning of a column, such as question=prompt. Can be repeated.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of text, such as gb18030. By default recognised."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", help="For CSV: delimiter, one character or `tab`. By default recognised."
    ),
]
Quote = Annotated[
    str | None, typer.Option("--quote", help="For CSV: quote, one character or `none`.")
]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="For CSV: whether the first line names the columns."),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="COLUMN=TYPE",
        help="For CSV: type of a column, such as zip=text: text, integer, number, "
        "boolean, date or timestamp. By default determined from the values. Can "
        "be repeated.",
    ),
]
BadRows = Annotated[
    Literal["refuse", "quarantine"],
    typer.Option(
        "--bad-rows",
        help="What to do with rows that can't be read: refuse the file, or "
        "set them aside (quarantine).",
    ),
]


def pairs(given: list[str] | None, what: str = "question=prompt") -> dict[str, str]:
    """Parse ``COLUMN=WHAT`` options; the name of a column may contain an equals sign."""
    found = {}
    for text in given or ():
        column, _, value = text.rpartition("=")
        if not (column and value):
            raise typer.BadParameter(
                tr("{text!r} is not COLUMN=WHAT, as in {what}", text=text, what=what)
            )
        found[column] = value
    return found


def reading(
    mapped: list[str] | None,
    encoding: str | None,
    delimiter: str | None,
    quote: str | None,
    header: bool | None,
    bad_rows: str,
    types: list[str] | None = None,
) -> dict[str, Any]:
    """Return the options in the form that ``client.datasets`` accepts.

    Raises:
        typer.BadParameter: if a value is invalid.
    """
    from pydantic import ValidationError

    from aiplatform.client.transfers import reading_params
    from aiplatform.protocol.validation_errors import message_of, place_of

    options = {
        "map": pairs(mapped) or None,
        "encoding": encoding,
        "delimiter": delimiter,
        "quote": quote,
        "header": header,
        "bad_rows": bad_rows,
        "types": _types(types) or None,
    }
    try:
        reading_params(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = place_of(first) or "delimiter"
        raise typer.BadParameter(f"{place}: {message_of(first)}") from error
    return options


def _types(given: list[str] | None) -> dict[str, str]:
    found = pairs(given, "zip=text")
    from aiplatform.protocol.reading_options import ColumnType

    known = get_args(ColumnType)
    for column, label in found.items():
        if label not in known:
            raise typer.BadParameter(
                tr(
                    "{column}={label}: a type is one of {known}",
                    column=column,
                    label=label,
                    known=", ".join(known),
                ),
                param_hint="--type",
            )
    return found


def reading_notes(name: str, version: str | None, read_as: dict[str, Any] | None) -> list[str]:
    """Return notes on a doubtful header, changed column types, and quarantined rows of a file."""
    facts = read_as or {}
    notes = []
    if doubt := facts.get("header_doubt"):
        text = (current() == "zh" and doubt.get("zh")) or doubt["en"]
        notes.append(tr("Warning: {text}.", text=text))
    notes += [
        tr(
            "Column {column}: {after} now, it was {before}.",
            column=change["column"],
            after=change["after"],
            before=change["before"],
        )
        for change in facts.get("retyped") or ()
    ]
    if note := quarantine_note(name, version, read_as):
        notes.append(note)
    return notes


def quarantine_note(name: str, version: str | None, read_as: dict[str, Any] | None) -> str | None:
    """Return a note about quarantined rows, or None if there are none."""
    aside = (read_as or {}).get("quarantined")
    if not aside:
        return None
    return tr(
        "{rows} bad rows were set aside ({reasons}). Fetch them: aiplatform datasets download "
        "{name:quoted}@{version:quoted} --format quarantine",
        rows=aside["rows"],
        reasons=reasons_text(aside),
        name=name,
        version=version,
    )


def reasons_text(aside: Mapping[str, Any]) -> str:
    """Return the reasons why rows were quarantined, with the number of rows for each."""
    return ", ".join(f"{code} {count}" for code, count in (aside.get("reasons") or {}).items())
