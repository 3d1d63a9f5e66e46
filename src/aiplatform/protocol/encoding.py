"""The one JSON encoder.

PostgreSQL's JSONB holds neither NaN nor U+0000, and JSON itself has no infinities. Losses do become
NaN and texts do contain NUL, so both are written in a form that survives everywhere: NaN and the
infinities as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` (which ``float()`` and
pydantic read back), NUL as U+FFFD.
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
"""Types whose values are JSON as they are, but for NUL."""


def jsonable(value: Any) -> Any:
    """Reduce ``value`` to what JSON and JSONB both hold. Keys become what JSON calls them.

    Raises:
        TypeError: for a type that has no JSON form.
    """
    # By the exact type first: to match a pattern asks an abstract class at every value.
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
    # Scalars of numpy and torch arrive in metrics and reports; both offer item().
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
    """Encode ``value`` as compact JSON text, see the module's rules."""
    try:
        # Most of what there is goes through as it is, and that encoder is written in C.
        text = _AS_IT_IS.encode(value)
    except (TypeError, ValueError):  # a key that is no text, or a number that JSON lacks
        return _REDUCED.encode(jsonable(value))
    return _REDUCED.encode(jsonable(value)) if ESCAPED_NUL in text else text


def loads(text: str | bytes) -> Any:
    """Decode JSON, several times faster than the standard library.

    Raises:
        ValueError: when it is none.
    """
    try:
        return from_json(text)
    except ValueError:
        # What is nested deeper than this parser goes, or is no JSON at all.
        return json.loads(text)


def clean_text(text: str) -> str:
    """``text`` without what a PostgreSQL ``TEXT`` refuses: NUL and lone surrogates."""
    return text.replace(NUL, REPLACEMENT).encode("utf-8", "replace").decode("utf-8")
