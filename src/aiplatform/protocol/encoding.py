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
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import from_json

NUL = "\x00"
REPLACEMENT = "\ufffd"


def jsonable(value: Any) -> Any:
    """Reduce ``value`` to what JSON and JSONB both hold.

    Raises:
        TypeError: for a type that has no JSON form.
    """
    match value:
        case None | bool():
            return value
        case Enum():
            return jsonable(value.value)
        case str():
            return value.replace(NUL, REPLACEMENT) if NUL in value else value
        case int():
            return value
        case float():
            if math.isfinite(value):
                return value
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case BaseModel():
            return jsonable(value.model_dump())
        case Mapping():
            return {jsonable(str(key)): jsonable(item) for key, item in value.items()}
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


def dumps(value: Any) -> str:
    """Encode ``value`` as compact JSON text, see the module's rules."""
    return json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


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
