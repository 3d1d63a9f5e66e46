"""Parses metric points from requests and packs them into rows of a binary COPY."""

import struct
import time
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec

from aiplatform.protocol.encoding import clean_text
from aiplatform.server.telemetry.errors import MalformedPoints
from aiplatform.server.telemetry.rules.series import MAX_SECONDS, MAX_STEP

COPY = (
    "COPY metric_points (task_id, attempt, key, step, value, recorded_at) "
    "FROM STDIN (FORMAT binary)"
)
COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
MAX_KEY = 200
MAX_POINTS = 20_000
"""Largest number of points in one request."""

SPECIAL = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}
"""The platform's JSON spelling of values that JSON has no number for; PostgreSQL's is the same."""


class Point(msgspec.Struct):
    """One value. ``time`` is in seconds since the epoch; the default is now."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
    step: Annotated[int, msgspec.Meta(ge=-MAX_STEP, le=MAX_STEP)]
    value: float | str
    time: Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)] | None = None


class Report(msgspec.Struct):
    """The body of a request.

    ``writer`` numbers its points from 1 on, and ``first`` is the number of the first one. So points
    that are stored already can be skipped when a request is repeated.
    """

    points: Annotated[list[Point], msgspec.Meta(max_length=MAX_POINTS)]
    writer: UUID | None = None
    first: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEP)] | None = None


_decoder = msgspec.json.Decoder(Report)
_HEAD = struct.Struct(">hiiiii")
"""Number of columns; task and attempt with their lengths; the length of the key that follows."""

_TAIL = struct.Struct(">iqidiq")
"""Step, value and microseconds, each with its length."""

_EPOCH = 946_684_800.0
"""The year 2000 in seconds since the epoch; PostgreSQL counts from there."""


def read_report(body: bytes) -> Report:
    """Parse the body of a request.

    Raises:
        MalformedPoints: says what is wrong, and with which point.
    """
    try:
        report = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedPoints(reason=str(error)) from error
    if (report.writer is None) != (report.first is None):
        raise MalformedPoints(reason="send `writer` and `first` together, or neither of them")
    for place, point in enumerate(report.points):
        if type(point.value) is str and point.value not in SPECIAL:
            raise MalformedPoints(
                reason=f"the value {point.value[:40]!r} of point {place + 1} is not a number; send "
                'a number, "NaN", "Infinity" or "-Infinity"'
            )
    return report


def copy_rows(task_id: int, attempt: int, points: Sequence[Point]) -> bytes:
    """Return the rows of :data:`COPY` in its binary format.

    Text takes three times as long: every float is printed here and parsed there.
    """
    now = _micros(time.time())
    heads: dict[str, bytes] = {}
    pack = _TAIL.pack
    rows: list[bytes] = []
    add = rows.append
    for point in points:
        head = heads.get(point.key)
        if head is None:
            text = clean_text(point.key).encode()
            head = _HEAD.pack(6, 4, task_id, 4, attempt, len(text)) + text
            heads[point.key] = head
        at = now if point.time is None else int((point.time - _EPOCH) * 1e6)
        add(head)
        add(pack(8, point.step, 8, float(point.value), 8, at))
    return b"".join(rows)


def _micros(seconds: float) -> int:
    return int((seconds - _EPOCH) * 1e6)
