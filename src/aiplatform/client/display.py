"""Text and HTML representations of resources and lists, for shells and notebooks.

Names and texts come from other users. They are quoted or escaped, and shortened, so that a name
can neither break a line nor become an HTML tag.
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
"""Fields that name a resource; the first one that a resource has is its label."""

HIDDEN_STATES = frozenset({"ready", "active"})
"""States that are not shown, because most resources have them."""

LABEL_LENGTH, TEXT_LENGTH = 60, 120
"""Largest number of characters shown of a label, and of any other value."""

ITEMS_SHOWN, ROWS_SHOWN, FIELDS_SHOWN = 20, 50, 5
"""Largest numbers shown: list items, rows of a notebook table, fields of an unnamed resource."""


class UnquotedText(str):
    """Text whose ``repr`` has no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return printable(self)


class ResourceList(list[T]):
    """A list whose ``repr`` has one line per item, and which notebooks show as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return lines_of(self)

    def _repr_html_(self) -> str:
        return table_of(self)


def summary(resource: BaseModel) -> list[tuple[str | None, Any]]:
    """Return the label and state of a resource, for its ``repr``, in pydantic's format.

    A resource that has neither, such as settings, is described by its first fields.
    """
    fields = visible_fields(resource)
    label = next((name for name in LABELS if _label(fields.get(name))), None)
    parts: list[tuple[str | None, Any]] = []
    if label is not None:
        parts.append((None, cut(_label(fields[label]), LABEL_LENGTH)))
    parts += [
        (None, UnquotedText(cut(fact, LABEL_LENGTH)))
        for name, tell in STATE_TEXTS.items()
        if name in fields and name != label and (fact := tell(fields[name]))
    ]
    if not parts and "uuid" in fields:
        parts = [(None, UnquotedText(fields["uuid"]))]
    return parts or [
        (
            name,
            cut(label, LABEL_LENGTH) if (label := _label(value)) else UnquotedText(_short(value)),
        )
        for name, value in islice(fields.items(), FIELDS_SHOWN)
    ]


def visible_fields(resource: BaseModel) -> dict[str, Any]:
    """Return the declared fields of a resource that have a value and are not secret.

    Secrets are declared with ``Field(repr=False)``. Fields that a newer server adds are not shown,
    because they might be secrets.
    """
    return {
        name: value
        for name, field in type(resource).model_fields.items()
        if field.repr and (value := getattr(resource, name)) not in (None, "", [], {})
    }


def lines_of(items: Iterable[object]) -> str:
    """Return the ``repr`` of a list, with one line for each of its first items."""
    found = list(islice(items, ITEMS_SHOWN + 1))
    lines = [_item(item) for item in found[:ITEMS_SHOWN]]
    if len(found) > ITEMS_SHOWN:
        lines.append("...")
    return f"[{(',' + chr(10) + ' ').join(lines)}]"


def record_of(resource: BaseModel) -> str:
    """Return a resource as an HTML table with one row per field."""
    rows = (
        f'<tr><th style="text-align: left">{html(name)}</th>'
        f'<td style="text-align: left">{html(_scalar(value))}</td></tr>'
        for name, value in visible_fields(resource).items()
    )
    return _table(f"<caption>{html(type(resource).__name__)}</caption>", rows)


def table_of(items: Iterable[object]) -> str:
    """Return a list as an HTML table, with one row for each of its first items.

    The columns are the fields that have a single value in any of these items.
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
    """Return text for an HTML page: escaped, on one line, and shortened."""
    return escape(printable(cut(str(text), TEXT_LENGTH)))


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of ``text``, with an ellipsis if it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def printable(text: str) -> str:
    """Return text with control characters and direction marks escaped."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text
    )


def _label(value: object) -> str:
    """Return the text of a field as a label; empty if the field can't be a label."""
    if isinstance(value, BaseModel):
        return str(getattr(value, "username", ""))
    return value if isinstance(value, str) and not isinstance(value, Enum) else ""


def _version(value: object) -> str:
    text = str(value)
    return f"version {text}" if text[:1].isdigit() else text


def _progress(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) and 0 < value < 1 else ""


def _count_of(noun: str) -> Callable[[object], str]:
    return lambda count: f"{count} {noun if count == 1 else noun + 's'}"


def _text_unless(usual: object, text: str) -> Callable[[object], str]:
    return lambda value: "" if value == usual else text


STATE_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "type": str,
    "kind": str,
    "version": _version,
    "status": lambda value: "" if value in HIDDEN_STATES else str(value),
    "state": str,
    "outcome": str,
    "progress": _progress,
    "role": str,
    "cron": str,
    "is_active": _text_unless(True, "inactive"),
    "is_enabled": _text_unless(True, "disabled"),
    "enabled": _text_unless(True, "disabled"),
    "is_read": _text_unless(True, "unread"),
    "revoked_at": _text_unless(None, "revoked"),
    "archived_at": _text_unless(None, "archived"),
    "user": lambda user: f"by {_label(user)}" if _label(user) else "",
    "row_count": _count_of("row"),
    "total": _count_of("point"),
}
"""Fields that describe a resource's state, in order, with functions that return their text."""


def _item(item: object) -> str:
    """Return an item of a list on one line; a row of a dataset is shortened."""
    return repr(item) if isinstance(item, BaseModel) else cut(repr(item), TEXT_LENGTH)


def _fields(item: object) -> dict[str, Any]:
    """Return the columns and values of an item for its row in a table."""
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
    """Return an HTML table in which notebooks don't typeset formulas.

    Otherwise, names that look like formulas would be typeset.
    """
    return f'<table class="tex2jax_ignore mathjax_ignore">{heading}{"".join(rows)}</table>'
