"""Tests of metric series (all points, charts, summaries) against a plain computation."""

import json
import math
import random
from runpy import run_path
from typing import Any

import pytest
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.migrate import migrations_dir
from aiplatform.server.queue.models import Task
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.rules import LEVELS, summarise_series
from aiplatform.server.telemetry.service import rollups
from aiplatform.server.telemetry.service.ingest import COPY, COPY_BEGIN, COPY_END, Point, copy_rows
from tests.factories import make_project, make_task

Points = list[tuple[int, float]]


@pytest.fixture
def task(session: Session) -> Task:
    return make_task(session, make_project(session), status=TaskStatus.RUNNING)


def write(
    session: Session, task: Task, points: Points, *, key: str = "loss", attempt: int = 1
) -> None:
    """Store metric points in the given order."""
    sent = [Point(key, step, value) for step, value in points]
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write(COPY_BEGIN + copy_rows(task.id, attempt, sent) + COPY_END)
    session.commit()


def drawn(session: Session, task: Task, points: int, **window: int) -> Any:
    """Return the points of a chart, and the number of points in the full series."""
    rollups.update_levels(task.id)
    session.rollback()
    chart = queries.chart(session, task.id, "loss", points=points, **window)
    return [(step, float(value)) for step, value, _ in json.loads(chart.json)], chart.total


def whole(session: Session, task: Task) -> Points:
    text_ = queries.history(session, task.id, "loss", limit=10**7)
    return [(step, float(value)) for step, value, _ in json.loads(text_)]


def same(found: Points, expected: Points) -> bool:
    def plain(points: Points) -> list[tuple[int, str]]:
        return [(step, repr(value)) for step, value in points]

    return plain(found) == plain(expected)


def test_short_series_is_drawn_completely(session: Session, task: Task) -> None:
    points = [(1, 0.5), (2, math.nan), (3, math.inf), (4, -math.inf), (5, 1e-300)]
    write(session, task, points)
    assert same(whole(session, task), points)
    assert same(drawn(session, task, 10)[0], points)


def test_repeated_step_counts_with_the_point_written_last(session: Session, task: Task) -> None:
    write(session, task, [(1, 9.0), (2, 9.0)], attempt=2)
    write(session, task, [(1, 5.0), (3, 5.0)], attempt=1)
    write(session, task, [(2, 7.0)], attempt=2)
    assert whole(session, task) == [(1, 9.0), (2, 7.0), (3, 5.0)]
    assert drawn(session, task, 10) == ([(1, 9.0), (2, 7.0), (3, 5.0)], 3)


@pytest.mark.parametrize("points", [10, 100, 1000])
def test_chart_keeps_peaks_and_nan(session: Session, task: Task, points: int) -> None:
    steps = 60_000
    values = [(step, math.sin(step / 5000)) for step in range(1, steps + 1)]
    values[31_233] = (31_234, 50.0)
    values[44_443] = (44_444, -50.0)
    values[11_110] = (11_111, math.nan)
    write(session, task, values)
    found, total = drawn(session, task, points)
    assert total == steps
    assert 2 < len(found) <= points
    assert found == sorted(found, key=lambda point: point[0])
    assert found[0] == values[0]
    assert found[-1] == values[-1]
    assert {(31_234, 50.0), (44_444, -50.0)} <= set(found)
    assert [step for step, value in found if math.isnan(value)] == [11_111]


def test_chart_of_a_window_shows_only_its_points(session: Session, task: Task) -> None:
    values = [(step * 3, float(step % 1013)) for step in range(30_000)]
    write(session, task, values)
    generator = random.Random(1)
    for _ in range(25):
        first = generator.randrange(0, 90_000)
        last = first + generator.choice([0, 10, 500, 9_000, 70_000])
        inside = [point for point in values if first <= point[0] <= last]
        found, total = drawn(session, task, 60, first=first, last=last)
        assert total == len(inside)
        assert set(found) <= set(inside)
        assert len(found) <= 60
        if inside:
            assert min(v for _, v in found) == min(v for _, v in inside)
            assert max(v for _, v in found) == max(v for _, v in inside)
            assert (found[0], found[-1]) == (inside[0], inside[-1])


def test_levels_equal_those_computed_at_once(session: Session, task: Task) -> None:
    """Write late, repeated and overwritten points, and update the levels in between.

    A level is a precomputed summary of the series.
    """
    generator = random.Random(7)
    counting: dict[int, float] = {}
    for round_ in range(12):
        base = round_ * 700
        points = [
            (generator.choice([base + n, generator.randrange(-50, 9_000)]), generator.random())
            for n in range(900)
        ]
        write(session, task, points)
        counting.update(points)
        rollups.update_levels(task.id)
    expected = sorted(counting.items())
    assert whole(session, task) == expected
    low, high = min(expected, key=lambda p: (p[1], p[0])), max(expected, key=lambda p: p[1])
    [row] = queries.summary(session, task.id)
    found = summarise_series(row)
    assert found["points"] == len(expected)
    assert (found["min_step"], found["min"]) == low
    assert (found["max_step"], found["max"]) == high
    assert (found["first_step"], found["first"]) == expected[0]
    assert (found["last_step"], found["last"]) == expected[-1]
    assert (found["best_step"], found["best"]) == low
    pieces = session.execute(
        text(
            "SELECT level, first_step, points, low[1] FROM metric_levels "
            "WHERE task_id = :task_id ORDER BY level, first_step"
        ),
        {"task_id": task.id},
    ).all()
    for level in range(1, LEVELS + 1):
        ours = [row for row in pieces if row.level == level]
        ends = [row.first_step for row in ours[1:]] + [2**63]
        for row, end in zip(ours, ends, strict=True):
            inside = [value for step, value in expected if row.first_step <= step < end]
            assert row.points == len(inside)
            assert row.low == min(inside)


def test_levels_from_before_the_fourth_are_computed_again(session: Session, task: Task) -> None:
    write(session, task, [(step, 1 / (1 + step)) for step in range(6_000)])
    rollups.update_levels(task.id)
    session.execute(text("DELETE FROM metric_levels WHERE level = 4"))
    session.commit()
    rollups.update_levels(task.id)
    assert queries.summary(session, task.id) == [], "what the migration is for"
    migration = run_path(str(migrations_dir() / "versions" / "0010_metric_levels.py"))
    session.execute(text(migration["FORGET"]))
    session.commit()
    rollups.update_levels(task.id)
    [row] = queries.summary(session, task.id)
    assert row.points == 6_000


def test_overwritten_value_is_no_peak(session: Session, task: Task) -> None:
    write(session, task, [(step, 1.0) for step in range(6_000)])
    write(session, task, [(3_000, 99.0)])
    assert max(value for _, value in drawn(session, task, 50)[0]) == 99.0
    write(session, task, [(3_000, 2.0)])
    assert max(value for _, value in drawn(session, task, 50)[0]) == 2.0


def test_deleted_task_leaves_no_points(session: Session, task: Task) -> None:
    write(session, task, [(1, 1.0)])
    rollups.update_levels(task.id)
    session.execute(delete(Task).where(Task.id == task.id))
    session.commit()
    for table in ("metric_points", "metric_levels", "metric_rollups"):
        left = session.scalar(
            text(f"SELECT count(*) FROM {table} WHERE task_id = :task_id"), {"task_id": task.id}
        )
        assert left == 0, table
