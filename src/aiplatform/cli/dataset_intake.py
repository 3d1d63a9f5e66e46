"""Options of commands that take a file of rows in."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=WHAT", help="What a column is: question=prompt."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Of text, such as gb18030; else recognised.")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", help="Of CSV: one character, or tab; else recognised.")
]
Quote = Annotated[str | None, typer.Option("--quote", help="Of CSV: one character, or none.")]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Of CSV: whether the first record names columns."),
]
BadRows = Annotated[
    Literal["refuse", "quarantine"],
    typer.Option("--bad-rows", help="quarantine sets rows that can't be read aside."),
]


def pairs(given: list[str] | None) -> dict[str, str]:
    """``COLUMN=WHAT``, several times; a column may have an equals sign in its name."""
    found = {}
    for text in given or ():
        column, _, what = text.rpartition("=")
        if not (column and what):
            raise typer.BadParameter(f"{text!r} is not COLUMN=WHAT, as in question=prompt")
        found[column] = what
    return found


def reading(
    mapped: list[str] | None,
    encoding: str | None,
    delimiter: str | None,
    quote: str | None,
    header: bool | None,
    bad_rows: str,
) -> dict[str, Any]:
    """The options as ``client.datasets`` takes them."""
    from pydantic import ValidationError

    from aiplatform.client.dataset_intake import reading_params
    from aiplatform.protocol.faults import message_of, place_of

    options = {
        "map": pairs(mapped) or None,
        "encoding": encoding,
        "delimiter": delimiter,
        "quote": quote,
        "header": header,
        "bad_rows": bad_rows,
    }
    try:
        reading_params(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = place_of(first) or "delimiter"
        raise typer.BadParameter(f"{place}: {message_of(first)}") from error
    return options


def quarantine_note(name: str, version: str | None, read_as: dict[str, Any] | None) -> str | None:
    """What to say of rows that were set aside; None when there are none."""
    aside = (read_as or {}).get("quarantined")
    if not aside:
        return None
    return (
        f"{aside['rows']} bad rows were set aside ({reasons_text(aside)}). Fetch them: "
        f"aiplatform datasets download {name}@{version} --format quarantine"
    )


def reasons_text(aside: Mapping[str, Any]) -> str:
    """Why rows were set aside, and how many for each reason."""
    return ", ".join(f"{code} {count}" for code, count in (aside.get("reasons") or {}).items())
