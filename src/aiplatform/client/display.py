"""Show resources and lists of them in a shell and in a notebook.

Names and texts come from other people. They stand in quotes, or escaped, and are cut: a name can
neither break a line nor become a tag of a page.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from html import escape
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T")

LABELS = (
    "name",
    "username",
    "title",
    "project_name",
    "email",
    "path",
    "permission",
    "action",
    "text",
    "user",
    "type",
    "kind",
)
"""Fields that name a resource; of those that it has, the first is its label."""

USUAL_STATES = frozenset({"ready", "active"})
"""States that need no mention."""

LABEL_LENGTH, TEXT_LENGTH = 60, 120
"""Characters of a label, and of any other value, that are shown."""

ITEMS_SHOWN, ROWS_SHOWN, FIELDS_SHOWN = 20, 50, 5
"""Items of a list in a shell, rows of a table in a notebook, and fields of what has no label."""


class Word(str):
    """Text that stands in a ``repr`` without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return printable(self)


class ResourceList(list[T]):
    """A list whose ``repr`` has a line for each item, and which is a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return lines_of(self)

    def _repr_html_(self) -> str:
        return table_of(self)


def summary(resource: BaseModel) -> list[tuple[str | None, Any]]:
    """Return what the ``repr`` of a resource says: its label and its state, as pydantic wants it.

    A resource without both, such as settings, is described by its first fields.
    """
    fields = visible_fields(resource)
    label = next((name for name in LABELS if _label(fields.get(name))), None)
    parts: list[tuple[str | None, Any]] = []
    if label is not None:
        parts.append((None, cut(_label(fields[label]), LABEL_LENGTH)))
    parts += [
        (None, Word(cut(fact, LABEL_LENGTH)))
        for name, tell in FACTS.items()
        if name in fields and name != label and (fact := tell(fields[name]))
    ]
    if not parts and "uuid" in fields:
        parts = [(None, Word(fields["uuid"]))]
    return parts or [
        (name, cut(label, LABEL_LENGTH) if (label := _label(value)) else Word(_short(value)))
        for name, value in islice(fields.items(), FIELDS_SHOWN)
    ]


def visible_fields(resource: BaseModel) -> dict[str, Any]:
    """Return the declared fields of a resource that have a value and are no secrets.

    Secrets are declared with ``Field(repr=False)``. What a newer server adds is not shown, because
    it might be one.
    """
    return {
        name: value
        for name, field in type(resource).model_fields.items()
        if field.repr and (value := getattr(resource, name)) not in (None, "", [], {})
    }


def lines_of(items: Iterable[object]) -> str:
    """Return the ``repr`` of a list with a line for each of its first items."""
    found = list(islice(items, ITEMS_SHOWN + 1))
    lines = [_item(item) for item in found[:ITEMS_SHOWN]]
    if len(found) > ITEMS_SHOWN:
        lines.append("...")
    return f"[{(',' + chr(10) + ' ').join(lines)}]"


def record_of(resource: BaseModel) -> str:
    """Return a resource as an HTML table with a row for each field."""
    rows = (
        f'<tr><th style="text-align: left">{html(name)}</th>'
        f'<td style="text-align: left">{html(_scalar(value))}</td></tr>'
        for name, value in visible_fields(resource).items()
    )
    return _table(f"<caption>{html(type(resource).__name__)}</caption>", rows)


def table_of(items: Iterable[object]) -> str:
    """Return a list as an HTML table with a row for each of its first items.

    Columns are the fields that hold a single value in any of these items.
    """
    found = list(islice(items, ROWS_SHOWN + 1))
    shown = [_fields(item) for item in found[:ROWS_SHOWN]]
    columns = list(
        dict.fromkeys(name for row in shown for name, value in row.items() if not _is_nested(value))
    )
    heading = "".join(f'<th style="text-align: left">{html(column)}</th>' for column in columns)
    rows = [
        "<tr>" + "".join(_cell(row.get(column)) for column in columns) + "</tr>" for row in shown
    ]
    if len(found) > ROWS_SHOWN:
        rows.append(f'<tr><td colspan="{len(columns)}">…</td></tr>')
    if not shown:
        return _table("", ["<tr><td><i>empty</i></td></tr>"])
    return _table(f"<thead><tr>{heading}</tr></thead>", rows)


def html(text: object) -> str:
    """Return text for a page: escaped, on one line, cut."""
    return escape(printable(cut(str(text), TEXT_LENGTH)))


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of a text; an ellipsis tells that it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def printable(text: str) -> str:
    """Return text with control characters, and those that change its direction, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text
    )


def _label(value: object) -> str:
    """Return what a field says as the name of its resource; nothing if it can't be that."""
    if isinstance(value, BaseModel):
        return str(getattr(value, "username", ""))
    return value if isinstance(value, str) and not isinstance(value, Enum) else ""


def _version(value: object) -> str:
    text = str(value)
    return f"version {text}" if text[:1].isdigit() else text


def _progress(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) and 0 < value < 1 else ""


def _counting(noun: str) -> Callable[[object], str]:
    return lambda count: f"{count} {noun if count == 1 else noun + 's'}"


def _unless(usual: object, text: str) -> Callable[[object], str]:
    return lambda value: "" if value == usual else text


FACTS: Mapping[str, Callable[[Any], str]] = {
    "type": str,
    "kind": str,
    "version": _version,
    "status": lambda value: "" if value in USUAL_STATES else str(value),
    "state": str,
    "outcome": str,
    "progress": _progress,
    "role": str,
    "cron": str,
    "is_active": _unless(True, "inactive"),
    "is_enabled": _unless(True, "disabled"),
    "enabled": _unless(True, "disabled"),
    "is_read": _unless(True, "unread"),
    "revoked_at": _unless(None, "revoked"),
    "archived_at": _unless(None, "archived"),
    "user": lambda user: f"by {_label(user)}" if _label(user) else "",
    "row_count": _counting("row"),
    "total": _counting("point"),
}
"""Fields of a resource's state, and what its ``repr`` says of them, in this order."""


def _item(item: object) -> str:
    """Return an item of a list on one line; a row of a dataset is cut."""
    return repr(item) if isinstance(item, BaseModel) else cut(repr(item), TEXT_LENGTH)


def _fields(item: object) -> dict[str, Any]:
    """Return what a row of a table shows of an item."""
    if isinstance(item, BaseModel):
        return visible_fields(item)
    if isinstance(item, Mapping):
        return {str(name): value for name, value in item.items()}
    return {"": item}


def _is_nested(value: object) -> bool:
    return isinstance(value, list | dict) or (isinstance(value, BaseModel) and not _label(value))


def _scalar(value: object) -> str:
    """Return a value as text: a reference by its name, a time to the second."""
    if isinstance(value, BaseModel):
        return str(getattr(value, "name", "")) or _label(value) or repr(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list | dict) and len(str(value)) > TEXT_LENGTH:
        return f"{len(value)} entries"
    return str(value)


def _short(value: object) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} entries"
    return cut(_scalar(value), LABEL_LENGTH)


def _cell(value: object) -> str:
    text = "" if value is None else html(_scalar(value))
    align = "right" if isinstance(value, int | float) else "left"
    return f'<td style="text-align: {align}">{text}</td>'


def _table(heading: str, rows: Iterable[str]) -> str:
    """Return an HTML table in which notebooks typeset no formulas: names may hold some."""
    return f'<table class="tex2jax_ignore mathjax_ignore">{heading}{"".join(rows)}</table>'
