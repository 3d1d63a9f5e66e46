"""Encode nested and mixed column values as JSON text.

A struct column would need one type for all rows and would turn every absent key into a null. Text
keeps each value exactly as it was, whatever the other rows contain.
"""

import json
from decimal import Decimal
from typing import Any

import orjson

from aiplatform.data.limits import MAX_DEPTH


class NoJsonFormError(ValueError):
    """A value can't be written as JSON text.

    Attributes:
        reason: A key of :data:`aiplatform.data.errors.REASONS`.
        found: The name of the type that can't be written.
    """

    def __init__(self, reason: str, found: str = "") -> None:
        self.reason = reason
        self.found = found
        super().__init__(reason)


def json_text(value: Any) -> str:
    """Return ``value`` as compact JSON text; equal values give equal text.

    Integers of any size remain exact. NaN and the infinities become strings; see
    :mod:`aiplatform.protocol.encoding`.

    Raises:
        NoJsonFormError: the value is nested too deeply, or contains binary data or an unknown type.
    """
    try:
        encoded = orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, NoJsonFormError):
            raise error.__cause__ from None
        _check_depth(value)
        return _exactly(value)  # An integer beyond 64 bits.
    if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if b"null" in encoded and _any_non_finite(value):  # orjson writes null for NaN.
        return _exactly(value)
    return encoded.decode()


def parse_json_text(text: str) -> Any:
    """Return the value that :func:`json_text` wrote; integers of any size remain exact."""
    return json.loads(text)


def _exactly(value: Any) -> str:
    return json.dumps(
        _finite(value), ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False
    )


def _plain(value: Any) -> Any:
    """Convert Parquet scalars that JSON does not have."""
    match value:
        case Decimal():
            return str(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise NoJsonFormError("binary_value") from None
    isoformat = getattr(value, "isoformat", None)
    if callable(isoformat):
        return isoformat()
    raise NoJsonFormError("type_unknown", type(value).__name__)


def _finite(value: Any) -> Any:
    match value:
        case float():
            # Imported late: it imports pydantic, which takes as long as the ingest of 10 MB.
            from aiplatform.protocol.encoding import jsonable  # noqa: PLC0415

            return jsonable(value)
        case list() | tuple():
            return [_finite(item) for item in value]
        case dict():
            return {key: _finite(item) for key, item in value.items()}
    return value


def _any_non_finite(value: Any) -> bool:
    match value:
        case float():
            return value - value != 0  # NaN - NaN and inf - inf are NaN.
        case list() | tuple():
            return any(map(_any_non_finite, value))
        case dict():
            return any(map(_any_non_finite, value.values()))
    return False


def _check_depth(value: Any) -> None:
    """Raise ``NoJsonFormError`` if a value is nested too deeply.

    This works level by level, because recursion would overflow the stack for a very deep value.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for item in level
            if isinstance(item, list | tuple | dict)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise NoJsonFormError("json_too_deep")
