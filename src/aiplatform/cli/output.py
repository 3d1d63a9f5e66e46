"""Command output: tables for users, JSON for programs.

Results go to stdout. Everything else (progress, hints, questions) goes to stderr, so that results
can be piped. All text from the server is printed as plain text: rich markup and escape sequences in
it have no effect.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiplatform.language import tr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from rich.console import Console

    from aiplatform.client import Client

Columns = Mapping[str, Callable[[Any], object]]
"""Functions that return the cells of a column, keyed by its heading."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PIPED_WIDTH = 240
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
UUID_LENGTH = 36
SHORT_UUID = 8
"""Number of characters of a uuid shown if space is short or its name is not known."""

SHORT_HASH = 12
GAP = 3
"""Number of terminal columns between two cells."""

MIN_NAME_WIDTH, MIN_CELL_WIDTH = 20, 10
"""Minimum width of names, and of other cells, in a table that is too wide."""

READABLE_CELL_WIDTH = 16
"""Minimum width of other cells before uuids are shortened."""

NAME_HEADINGS = frozenset({"NAME", "USERNAME", "TASK", "RUN"})
"""Headings of columns that name the subject of a row."""

SIZES = frozenset({"size", "bytes", "file_size"})
"""Fields that hold a number of bytes."""


def print_json(value: Any) -> None:
    """Print a value, a resource or a list of resources as JSON."""
    from aiplatform.protocol.encoding import jsonable

    text = json.dumps(jsonable(to_json(value)), ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


def print_json_line(value: Any) -> None:
    """Print one value of a stream as a line of JSON, and flush the output."""
    from aiplatform.protocol.encoding import dumps

    sys.stdout.write(dumps(to_json(value)) + "\n")
    sys.stdout.flush()


def to_json(value: Any) -> Any:
    """Convert resources to the JSON that the server sent."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return value


def print_table(
    items: Iterable["BaseModel"], columns: Columns, *, as_json: bool, empty: str
) -> None:
    """Print resources as a table; print ``empty`` if there are none."""
    found = list(items)
    if as_json:
        print_json(found)
        return
    if not found:
        say(empty)
        return
    print_rows(list(columns), [[show(item) for show in columns.values()] for item in found])


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table for users; omit the line below the headings if the output is piped.

    Lines are never wrapped. If the terminal is too narrow, hashes are shortened first. If the table
    still doesn't fit, uuids are left out if the table has a name column. Otherwise, they are
    shortened only if the other cells would become too short to read. Finally, the widest columns
    are narrowed. ``--json`` prints everything.
    """
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    out = console()
    columns = [
        [tr(heading), *cells]
        for heading, *cells in zip(
            headings, *([plain(_one_line(cell)) for cell in row] for row in rows), strict=True
        )
    ]
    widths: list[int | None] = [None] * len(columns)
    if out.is_terminal:
        columns = _fit_columns(columns, out.width)
        widths = [*_widths(columns, out.width)]
    table = Table(
        *(
            Column(
                Text(column[0]),
                no_wrap=True,
                overflow="ellipsis",
                width=width,
            )
            for column, width in zip(columns, widths, strict=True)
        ),
        box=box.SIMPLE_HEAD if out.is_terminal else None,
        header_style="bold" if out.is_terminal else "",
        pad_edge=False,
        show_edge=False,
    )
    for cells in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    out.print(table)


def _fit_columns(columns: list[list[str]], width: int) -> list[list[str]]:
    """Return the columns of a table, shortened to the width of the terminal where possible."""
    from rich.cells import cell_len

    def is_too_wide() -> bool:
        needed = sum(max(map(cell_len, column)) for column in columns)
        return needed + GAP * (len(columns) - 1) > width

    if is_too_wide():
        columns = [
            [cell[:SHORT_HASH] for cell in column] if _all_match(column, _HASH) else column
            for column in columns
        ]
    if is_too_wide() and any(column[0] in _name_headings() for column in columns):
        return [column for column in columns if not _all_match(column, _UUID)]
    if (
        sum(_least_width(column, READABLE_CELL_WIDTH) for column in columns)
        + GAP * (len(columns) - 1)
        > width
    ):
        # Commands for resources without a name also accept the start of a uuid.
        columns = [
            [column[0], *(cell[:SHORT_UUID] for cell in column[1:])]
            if _all_match(column, _UUID)
            else column
            for column in columns
        ]
    return columns


def _widths(columns: list[list[str]], width: int) -> list[int]:
    """Return the column widths, reduced from the widest down until all fit, if possible."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in columns]
    least = [_least_width(column) for column in columns]
    while sum(widths) + GAP * (len(widths) - 1) > width:
        excess = [have - need for have, need in zip(widths, least, strict=True)]
        if not excess or max(excess) <= 0:
            break
        widest = max(
            (place for place, more in enumerate(excess) if more > 0), key=widths.__getitem__
        )
        widths[widest] -= 1
    return widths


def _least_width(column: Sequence[str], least_cell: int = MIN_CELL_WIDTH) -> int:
    """Return the smallest width for a column at which names and short cells stay readable."""
    from rich.cells import cell_len

    whole = max(map(cell_len, column))
    if _all_match(column, _UUID):
        return UUID_LENGTH
    return min(whole, MIN_NAME_WIDTH if column[0] in _name_headings() else least_cell)


def _all_match(column: Sequence[str], pattern: "re.Pattern[str]") -> bool:
    """Return True if all non-empty cells match; the first cell is the heading and is ignored."""
    cells = [cell for cell in column[1:] if cell]
    return bool(cells) and all(pattern.fullmatch(cell) for cell in cells)


def _name_headings() -> frozenset[str]:
    """Return :data:`NAME_HEADINGS` in the current language, as printed in table headings."""
    return frozenset(map(tr, NAME_HEADINGS))


def _one_line(cell: object) -> str:
    """Return the text of a cell on one line."""
    text = "" if cell is None else str(cell)
    return " ".join(text.split()) if "\n" in text else text


def print_record(
    resource: "BaseModel | Mapping[str, Any]",
    *,
    as_json: bool,
    skip: Sequence[str] = (),
    client: "Client | None" = None,
) -> None:
    """Print a resource with one field per line, omitting fields that are empty or in ``skip``.

    Args:
        resource: the resource; nested values get separate lines.
        as_json: print all fields as JSON.
        skip: fields to leave out; ``result.metrics`` denotes a nested field.
        client: used to show names instead of the uuids of projects, models and so on.
    """
    if as_json:
        print_json(resource)
        return
    from rich.table import Table
    from rich.text import Text

    shown = _without_fields(to_json(resource), skip)
    if client is not None:
        from aiplatform.cli.names import with_names

        shown = with_names(client, shown)
    table = Table(box=None, show_header=False, pad_edge=False, show_edge=False)
    for name, value in _lines_of(shown):
        table.add_row(Text(name, style="dim"), Text(plain(value), overflow="fold"))
    console().print(table)


def _without_fields(fields: Mapping[str, Any], skip: Sequence[str]) -> dict[str, Any]:
    """Return the fields without the skipped ones."""
    kept = {}
    for name, value in fields.items():
        if name in skip:
            continue
        inner = [path.removeprefix(f"{name}.") for path in skip if path.startswith(f"{name}.")]
        kept[name] = _without_fields(value, inner) if inner and isinstance(value, dict) else value
    return kept


def _lines_of(fields: Mapping[str, Any], depth: int = 0) -> "Iterator[tuple[str, str]]":
    """Yield the name and text of each non-empty field; nested fields are indented."""
    for name, value in fields.items():
        if value in (None, "", [], {}):
            continue
        label = "  " * depth + label_of(name)
        if isinstance(value, dict) and _short(value) is None:
            nested = list(_lines_of(value, depth + 1))
            if nested:
                yield label, ""
                yield from nested
        elif isinstance(value, list) and any(
            isinstance(item, dict) and _short(item) is None for item in value
        ):
            for number, item in enumerate(value):
                yield label if number == 0 else "", _brief(item)
        else:
            yield label, size_text(value) if name in SIZES else _brief(value)


def label_of(field: object) -> str:
    """Return the label that users see for a field."""
    return tr(str(field).replace("_", " "))


def say(text: str) -> None:
    """Print a message that is not part of the result to stderr."""
    console(stderr=True).print(plain(text), markup=False, highlight=False, soft_wrap=True)


def print_text(text: str, *, end: str = "\n") -> None:
    """Print text that is part of the result, without terminal control characters."""
    sys.stdout.write(plain(text) + end)
    sys.stdout.flush()


def console(*, stderr: bool = False) -> "Console":
    """Return rich's console, which is so wide that it never wraps piped output."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH)


def plain(value: object) -> str:
    """Return text without control characters, which could for example move the cursor."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def size_text(count: float | None) -> str:
    """Return a number of bytes as text with a unit."""
    size = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def duration_text(seconds: float | None) -> str:
    """Return a duration in seconds as ``m:ss`` or ``h:mm:ss``."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def age_text(moment: datetime | None) -> str:
    """Return the time since the given moment as text."""
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    if seconds >= 86400:
        return tr("{count:.0f} d ago", count=seconds / 86400)
    if seconds >= 3600:
        return tr("{count:.0f} h ago", count=seconds / 3600)
    if seconds >= 60:
        return tr("{count:.0f} min ago", count=seconds / 60)
    return tr("{count:.0f} s ago", count=seconds)


def print_deleted(uuid: object, what: str, purge_after: datetime | None, *, as_json: bool) -> None:
    """Print that something was deleted, and until when it can be restored."""
    if as_json:
        until = None if purge_after is None else purge_after.isoformat()
        print_json({"uuid": str(uuid), "done": True, "purge_after": until})
    elif purge_after is None:
        say(tr("Permanently deleted {what}.", what=what))
    else:
        say(
            tr(
                "Deleted {what}. Until {purge_after:%Y-%m-%d %H:%M} UTC the bin can restore it.",
                what=what,
                purge_after=purge_after,
            )
        )


def number_text(value: object) -> str:
    """Return a measured value as short text."""
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def _short(value: Mapping[str, Any]) -> str | None:
    """Return the short name if ``value`` refers to a resource such as a user, otherwise None."""
    if set(value) >= {"uuid", "username"}:
        return str(value["username"])
    if set(value) == {"uuid", "name", "version"}:
        return f"{value['name']}@{value['version']}"
    if set(value) == {"uuid", "name"}:
        return str(value["name"])
    if set(value) == {"name", "type"}:
        return f"{value['name']} ({value['type']})"
    return None


def _brief(value: Any) -> str:
    """Return the value of a field on one line."""
    match value:
        case dict():
            return _short(value) or ", ".join(
                f"{label_of(name)} {_brief(item)}"
                for name, item in value.items()
                if item not in (None, "", [], {})
            )
        case list():
            return ", ".join(map(_brief, value))
        case bool():
            return tr("yes") if value else tr("no")
        case float():
            return number_text(value)
        case str() if _HASH.fullmatch(value):
            return value[:SHORT_HASH]
        case str() if _TIME.fullmatch(value):
            return f"{value[:10]} {value[11:16]} UTC"
    return str(value)
