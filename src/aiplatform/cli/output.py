"""What commands print: tables for people, JSON for programs.

Results go to stdout, everything else (progress, hints, questions) to stderr, so that output can be
piped. Whatever comes from the server is printed as plain text: neither rich's markup nor a
terminal's escape sequences in it have any effect.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

Columns = Mapping[str, Callable[[Any], object]]
"""Heading → what stands under it."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PIPED_WIDTH = 240


def print_json(value: Any) -> None:
    """Print a value, a resource or a list of resources as JSON."""
    from aiplatform.protocol.encoding import jsonable

    text = json.dumps(jsonable(dumped(value)), ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


def print_json_line(value: Any) -> None:
    """Print one value of a stream as a line, at once."""
    from aiplatform.protocol.encoding import dumps

    sys.stdout.write(dumps(dumped(value)) + "\n")
    sys.stdout.flush()


def dumped(value: Any) -> Any:
    """Resources as what the server said of them."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, list | tuple):
        return [dumped(item) for item in value]
    if isinstance(value, dict):
        return {name: dumped(item) for name, item in value.items()}
    return value


def print_table(
    items: Iterable["BaseModel"], columns: Columns, *, as_json: bool, empty: str
) -> None:
    """Print resources, one a row; ``empty`` is said when there are none."""
    found = list(items)
    if as_json:
        print_json(found)
        return
    if not found:
        say(empty)
        return
    print_rows(list(columns), [[show(item) for show in columns.values()] for item in found])


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table for people; without lines when it is piped."""
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    out = console()
    table = Table(
        *(Column(Text(heading)) for heading in headings),
        box=box.SIMPLE_HEAD if out.is_terminal else None,
        header_style="bold" if out.is_terminal else "",
        pad_edge=False,
        show_edge=False,
    )
    for row in rows:
        table.add_row(*(Text(plain(cell), overflow="fold") for cell in row))
    out.print(table)


def print_record(
    resource: "BaseModel | Mapping[str, Any]", *, as_json: bool, skip: Sequence[str] = ()
) -> None:
    """Print one resource, a field a line; fields that are empty or in ``skip`` only in JSON."""
    if as_json:
        print_json(resource)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, show_edge=False)
    for name, value in dumped(resource).items():
        if name in skip or value in (None, "", [], {}):
            continue
        table.add_row(Text(name.replace("_", " "), style="dim"), Text(plain(_brief(value))))
    console().print(table)


def say(text: str) -> None:
    """Tell the person something that is not the result."""
    console(stderr=True).print(plain(text), markup=False, highlight=False, soft_wrap=True)


def print_text(text: str, *, end: str = "\n") -> None:
    """Print a line of the result as it is, without what could steer the terminal."""
    sys.stdout.write(plain(text) + end)
    sys.stdout.flush()


def console(*, stderr: bool = False) -> "Console":
    """Where rich prints. Piped output is wide enough that nothing is folded."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH)


def plain(value: object) -> str:
    """Text without control characters: they could move the cursor or worse."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def size_text(count: float | None) -> str:
    """Bytes as people say them."""
    size = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def duration_text(seconds: float | None) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def age_text(moment: datetime | None) -> str:
    """How long ago."""
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def print_deleted(uuid: object, what: str, purge_after: datetime | None, *, as_json: bool) -> None:
    """Tell that something was deleted, and until when it can be restored."""
    if as_json:
        until = None if purge_after is None else purge_after.isoformat()
        print_json({"uuid": str(uuid), "done": True, "purge_after": until})
    elif purge_after is None:
        say(f"Deleted {what} for good.")
    else:
        say(f"Deleted {what}. Until {purge_after:%Y-%m-%d %H:%M} UTC the bin can restore it.")


def number_text(value: object) -> str:
    """A measured value, short."""
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def _brief(value: Any) -> str:
    """A field's value on one line."""
    if isinstance(value, dict):
        if set(value) >= {"uuid", "username"}:
            return str(value["username"])
        if set(value) == {"uuid", "name", "version"}:
            return f"{value['name']}@{value['version']}"
        if set(value) == {"name", "type"}:
            return f"{value['name']} ({value['type']})"
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(_brief(item) for item in value)
    return str(value)
