"""The platform's JSON encoder.

PostgreSQL's JSONB supports neither NaN nor U+0000, and JSON has no infinities. But losses do become
NaN, and text can contain NUL. Therefore NaN and the infinities are written as the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which ``float()`` and pydantic can read, and NUL as
U+FFFD.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import from_json

NUL = "\x00"
REPLACEMENT = "\ufffd"
ESCAPED_NUL = "\\u0000"


PLAIN = (str, int, bool, NoneType)
"""Types whose values can be written as JSON directly, except for text that contains NUL."""


def jsonable(value: Any) -> Any:
    """Convert ``value`` to a form that both JSON and JSONB support; keys become strings.

    Raises:
        TypeError: A value has a type without a JSON form.
    """
    # Compare exact types first for speed, because the patterns below check abstract classes.
    kind = type(value)
    if kind in PLAIN:
        return value if kind is not str or NUL not in value else value.replace(NUL, REPLACEMENT)
    if kind is dict:
        return {_key(key): jsonable(item) for key, item in value.items()}
    if kind is list:
        return [jsonable(item) for item in value]
    match value:
        case Enum():
            return jsonable(value.value)
        case str():
            return value.replace(NUL, REPLACEMENT)
        case int():
            return value
        case float():
            if math.isfinite(value):
                return value
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case BaseModel():
            return jsonable(value.model_dump())
        case Mapping():
            return {_key(key): jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(item) for item in value]
        case datetime():
            return value.isoformat()
        case UUID() | PurePath():
            return str(value)
    # Metrics and reports contain numpy and torch scalars; both have item().
    item = getattr(value, "item", None)
    if callable(item):
        return jsonable(item())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _key(key: Any) -> str:
    match key:
        case str():
            return jsonable(key)  # type: ignore[no-any-return]
        case None:
            return "null"
        case bool():
            return "true" if key else "false"
    return jsonable(str(key))  # type: ignore[no-any-return]


_COMPACT: dict[str, Any] = {
    "ensure_ascii": False,
    "separators": (",", ":"),
    "allow_nan": False,
}
_AS_IT_IS = json.JSONEncoder(**_COMPACT, default=jsonable)
_REDUCED = json.JSONEncoder(**_COMPACT)


def dumps(value: Any) -> str:
    """Encode ``value`` as compact JSON text, by this module's rules."""
    try:
        # Most values need no conversion, and this encoder is written in C.
        text = _AS_IT_IS.encode(value)
    except (TypeError, ValueError):  # a key that is not text, or a number that JSON lacks
        return _REDUCED.encode(jsonable(value))
    return _REDUCED.encode(jsonable(value)) if ESCAPED_NUL in text else text


def loads(text: str | bytes) -> Any:
    """Decode JSON, several times faster than the standard library does.

    Raises:
        ValueError: The text is not valid JSON.
    """
    try:
        return from_json(text)
    except ValueError:
        # The text is invalid or nested more deeply than the fast parser supports.
        return json.loads(text)


def clean_text(text: str) -> str:
    """Replace NUL and lone surrogates, which a PostgreSQL ``TEXT`` column can't store."""
    return text.replace(NUL, REPLACEMENT).encode("utf-8", "replace").decode("utf-8")
