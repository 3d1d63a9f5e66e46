"""Ingestion of metric points from external runs, on the event loop.

Points of concurrent requests are stored in one transaction, as rows of a binary COPY.
"""

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
import structlog

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.async_database import AsyncDatabase, Batcher, fetch_rows
from aiplatform.server.core.errors import NotFound, Problem
from aiplatform.server.core.events import get_notifier
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.telemetry.errors import MalformedPoints, NotReportedHere, RecordsMissing
from aiplatform.server.telemetry.rules import MAX_SECONDS, MAX_STEP
from aiplatform.server.telemetry.service.rollups import RollUps

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
"""Values that JSON has no number for, with their spellings in JSON strings and in PostgreSQL."""


class Point(msgspec.Struct):
    """One value of a series at a step. ``time``: seconds since the epoch; the default is now."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
    step: Annotated[int, msgspec.Meta(ge=-MAX_STEP, le=MAX_STEP)]
    value: float | str
    time: Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)] | None = None


class Report(msgspec.Struct):
    """The body of a request that reports points.

    The client ``writer`` numbers its points from 1, and ``first`` is the number of the first point
    in the request. If a request is repeated, points that are already stored can therefore be
    skipped.
    """

    points: Annotated[list[Point], msgspec.Meta(max_length=MAX_POINTS)]
    writer: UUID | None = None
    first: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEP)] | None = None


_decoder = msgspec.json.Decoder(Report)
_HEAD = struct.Struct(">hiiiii")
"""Start of a row in binary COPY: column count, task, attempt, and length of the key.

Task and attempt are each preceded by their length in bytes. The key itself comes next.
"""

_TAIL = struct.Struct(">iqidiq")
"""End of a row in binary COPY: step, value and microseconds, each after its length in bytes."""

_EPOCH = 946_684_800.0
"""Start of the year 2000, PostgreSQL's epoch, in seconds since the Unix epoch."""


def read_report(body: bytes) -> Report:
    """Parse the body of a request.

    Raises:
        MalformedPoints: the body is invalid; the error says why, and which point is affected.
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
    """Return the rows for :data:`COPY` in its binary format.

    The text format would take three times as long, because each float would be printed here and
    parsed by the database.
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


log = structlog.get_logger(__name__)

LOCKED = """
WITH locked AS MATERIALIZED (
    SELECT t.id, t.uuid, t.project_id, t.type, t.status FROM tasks t
    WHERE t.uuid = ANY(%(tasks)s::uuid[]) ORDER BY t.id FOR NO KEY UPDATE
), renewed AS (
    UPDATE external_runs r SET renewals = renewals + 1 FROM locked l WHERE r.task_id = l.id
    RETURNING r.task_id, r.given_up
)"""
FOUND = """
SELECT l.id, l.uuid, l.project_id, l.type, l.status, h.given_up
FROM locked l LEFT JOIN renewed h ON h.task_id = l.id
"""
LOCK = LOCKED + FOUND
"""Statement that locks the tasks in id order and records heartbeats of their runs.

While a task is locked, no other transaction can write its points, so their ids are in commit order.
"""

ADD = f"""{LOCKED}, added AS (
    INSERT INTO metric_points (task_id, attempt, key, step, value, recorded_at)
    SELECT l.id, 1, sent.key, sent.step, sent.value, COALESCE(to_timestamp(sent.at), now())
    FROM unnest(%(owners)s::uuid[], %(projects)s::integer[], %(keys)s::text[], %(steps)s::bigint[],
                %(values)s::float8[], %(times)s::float8[]) WITH ORDINALITY
         AS sent(owner, project, key, step, value, at, place)
    JOIN locked l ON l.uuid = sent.owner AND l.project_id = sent.project
    JOIN renewed h ON h.task_id = l.id
    WHERE l.status IN ('running', 'cancelling') OR h.given_up
    ORDER BY sent.place
){FOUND}"""  # noqa: S608  (our own text)
"""Statement that does the same as :data:`LOCK`, and inserts a few points.

It needs one round trip, whereas a COPY needs four. It ignores points of tasks for which
:func:`refusal` returns a problem.
"""

FEW_POINTS = 400
"""Largest number of points for which :data:`ADD` is faster than a COPY."""

TAKEN = """
SELECT task_id, writer, taken FROM run_writers
WHERE task_id = ANY(%(tasks)s::integer[]) AND writer = ANY(%(writers)s::uuid[])
"""
TAKE = """
INSERT INTO run_writers (task_id, writer, taken)
SELECT * FROM unnest(%(tasks)s::integer[], %(writers)s::uuid[], %(taken)s::bigint[])
ON CONFLICT (task_id, writer) DO UPDATE SET taken = EXCLUDED.taken
"""


@dataclass(frozen=True, slots=True)
class SentReport:
    """A request with points, whose caller is permitted to write the project's tasks."""

    project_id: int
    task: UUID
    report: Report


@dataclass(frozen=True, slots=True)
class Accepted:
    """The response to a request with points.

    The writer's points up to number ``taken`` are stored; ``taken`` is None without a writer.
    """

    points: int
    taken: int | None
    status: TaskStatus


class Ingest:
    """The metrics ingestion of an API process. It stores concurrent requests together."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._reports: Batcher[SentReport, Accepted] = Batcher(self._write, lanes=2)
        self._rollups = RollUps()

    def close(self) -> None:
        """Stop the thread that updates the levels of metric series."""
        self._rollups.close()

    async def write(self, project_id: int, task: UUID, report: Report) -> Accepted:
        """Store the points of one request; they are committed when this returns.

        Raises:
            NotFound: the project has no such task.
            NotReportedHere: the task is run by a worker, which reports for it.
            TaskFinished: the run has ended.
            RecordsMissing: points of the writer before ``first`` were never sent.
        """
        return await self._reports.call(SentReport(project_id, task, report))

    async def _write(self, sent: list[SentReport]) -> list[Accepted | Exception]:
        few = sum(len(one.report.points) for one in sent) <= FEW_POINTS
        plain = all(one.report.writer is None for one in sent)
        write = self._write_few if few and plain else self._write_in_transaction
        answers = await self._database.run(lambda connection: write(connection, sent))
        notifier = get_notifier()
        for one, (answer, task_id) in zip(sent, answers, strict=True):
            if isinstance(answer, Accepted) and answer.points:
                notifier.notify(f"task:{one.task}")
                self._rollups.count(task_id, answer.points)
        return [answer for answer, _ in answers]

    async def _write_few(
        self, connection: Any, sent: list[SentReport]
    ) -> list[tuple[Accepted | Exception, int]]:
        points = [(one, point) for one in sent for point in one.report.points]
        values = {
            "tasks": list({one.task for one in sent}),
            "owners": [one.task for one, _ in points],
            "projects": [one.project_id for one, _ in points],
            "keys": [clean_text(point.key) for _, point in points],
            "steps": [point.step for _, point in points],
            "values": [float(point.value) for _, point in points],
            "times": [point.time for _, point in points],
        }
        tasks = {row.uuid: row for row in await fetch_rows(connection, ADD, values)}
        answers: list[tuple[Accepted | Exception, int]] = []
        for one in sent:
            task: Any = tasks.get(one.task)
            fault = refusal(task, one)
            if fault is not None:
                answers.append((fault, 0))
                continue
            status = TaskStatus(task.status)
            answers.append((Accepted(len(one.report.points), None, status), task.id))
        return answers

    async def _write_in_transaction(
        self, connection: Any, sent: list[SentReport]
    ) -> list[tuple[Accepted | Exception, int]]:
        async with connection.transaction():
            tasks = {
                row.uuid: row
                for row in await fetch_rows(
                    connection, LOCK, {"tasks": list({one.task for one in sent})}
                )
            }
            taken = await self._taken(connection, sent, tasks)
            before = dict(taken)
            answers: list[tuple[Accepted | Exception, int]] = []
            pieces = [COPY_BEGIN]
            for one in sent:
                task: Any = tasks.get(one.task)
                fault = refusal(task, one)
                if fault is not None:
                    answers.append((fault, 0))
                    continue
                report = one.report
                points = report.points
                reached = None
                if report.writer is not None and report.first is not None:
                    reached = taken.get((task.id, report.writer), 0)
                    if report.first > reached + 1:
                        answers.append((RecordsMissing(expected=reached + 1), 0))
                        continue
                    points = points[reached + 1 - report.first :]
                    reached = max(reached, report.first + len(report.points) - 1)
                    taken[task.id, report.writer] = reached
                if points:
                    pieces.append(copy_rows(task.id, 1, points))
                status = TaskStatus(task.status)
                answers.append((Accepted(len(points), reached, status), task.id))
            if len(pieces) > 1:
                pieces.append(COPY_END)
                async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                    await copy.write(b"".join(pieces))
            news = {key: reached for key, reached in taken.items() if before.get(key) != reached}
            if news:
                values = {
                    "tasks": [task_id for task_id, _ in news],
                    "writers": [writer for _, writer in news],
                    "taken": list(news.values()),
                }
                await connection.execute(TAKE, values)
            return answers

    async def _taken(
        self, connection: Any, sent: list[SentReport], tasks: dict[UUID, Any]
    ) -> dict[tuple[int, UUID], int]:
        writers = {one.report.writer for one in sent if one.report.writer is not None}
        if not writers:
            return {}
        values = {"tasks": [task.id for task in tasks.values()], "writers": list(writers)}
        rows = await fetch_rows(connection, TAKEN, values)
        return {(row.task_id, row.writer): row.taken for row in rows}


def refusal(task: Any, sent: SentReport) -> Problem | None:
    """Return why a request must be rejected, or None if it is valid. ``task`` is a row from LOCK.

    A run that was given up because it was silent may still send points, because runs buffer them
    while they have no connection.
    """
    if task is None or task.project_id != sent.project_id:
        return NotFound(resource="task")
    if task.given_up is None:
        return NotReportedHere(task_type=task.type)
    if TaskStatus(task.status).is_final and not task.given_up:
        return TaskFinished(task_status=task.status)
    return None
