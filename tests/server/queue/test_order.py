"""Tests of the formula for the queue's order, which is the same in SQL and Python."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.projects.models import Project
from aiplatform.server.queue import queries
from aiplatform.server.queue.rules import (
    AGING,
    HALF_LIFE,
    Room,
    decayed_usage,
    level,
    order_key,
    usage_rate,
    usage_share,
)
from tests.factories import make_project, make_task

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def key(priority: int, usage: float = 0.0, *, waited: timedelta = timedelta(0), task_id: int = 1):
    return order_key(priority=priority, usage=usage, since=NOW - waited, task_id=task_id, now=NOW)


def test_order_is_by_priority_then_usage_then_age():
    assert key(6, 1e9) < key(5, 0)
    assert key(5, 1) < key(5, 2, waited=timedelta(hours=1))
    assert key(5, 1, waited=timedelta(seconds=2)) < key(5, 1, waited=timedelta(seconds=1))
    assert key(5, task_id=1) < key(5, task_id=2)


def test_old_task_of_lowest_priority_passes_a_new_one_of_the_highest():
    assert key(10) < key(1, waited=AGING * 9 - timedelta(seconds=1))
    assert key(1, 1e12, waited=AGING * 10) < key(10)
    assert level(5, NOW + timedelta(hours=1), NOW) == 5, "a clock step ages nothing"


def test_usage_halves_with_time_and_grows_while_tasks_run():
    assert decayed_usage(100, 0, HALF_LIFE) == pytest.approx(50)
    assert decayed_usage(0, 1, timedelta(seconds=10)) == pytest.approx(10, rel=1e-3)
    # The result does not depend on the number of steps.
    once = decayed_usage(7, 3, HALF_LIFE)
    assert decayed_usage(decayed_usage(7, 3, HALF_LIFE / 3), 3, HALF_LIFE * 2 / 3) == pytest.approx(
        once
    )
    # The usage of a project that always runs at one rate approaches rate * half-life / ln 2.
    assert decayed_usage(0, 1, HALF_LIFE * 100) == pytest.approx(86400 / 0.693147, rel=1e-5)


def test_rate_counts_a_gpu_like_eight_cores():
    assert usage_rate(1, 0, 1) == 8
    assert usage_rate(16, 4096, 0) == 16
    assert usage_rate(1, 65536, 0) == 16
    assert usage_rate(0, 0, 0) > 0


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    usage=st.floats(0, 1e9),
    # Running tasks count at least 0.1, and sums of floats drift by less than 1e-12.
    running=st.just(0.0) | st.floats(1e-20, 1e4),
    seconds=st.floats(-1e6, 1e9),
    cpus=st.floats(0, 1024),
    memory=st.integers(0, 1 << 24),
    gpus=st.integers(0, 64),
)
def test_usage_is_the_same_in_sql_and_python(
    database_engine, usage, running, seconds, cpus, memory, gpus
):
    then = NOW - timedelta(seconds=seconds)
    with database_engine.connect() as connection:
        in_sql, share_in_sql, rate_in_sql = connection.execute(
            text(
                "SELECT decayed_usage(:u, :r, :then, :now), usage_share(:u, :r, :then, :now), "
                "usage_rate(:c, :m, :g)"
            ),
            {"u": usage, "r": running, "then": then, "now": NOW, "c": cpus, "m": memory, "g": gpus},
        ).one()
    assert in_sql == pytest.approx(decayed_usage(usage, running, NOW - then), rel=1e-9, abs=1e-9)
    assert share_in_sql == pytest.approx(
        usage_share(usage, running, NOW - then), rel=1e-9, abs=1e-9
    )
    assert rate_in_sql == pytest.approx(usage_rate(cpus, memory, gpus))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(priority=st.integers(1, 10), seconds=st.integers(-(10**6), 10**8) | st.just(21600))
def test_level_is_the_same_in_sql_and_python(database_engine, priority, seconds):
    since = NOW - timedelta(seconds=seconds)
    with database_engine.connect() as connection:
        in_sql = connection.scalar(
            text("SELECT task_level(:p, :since, :now)"), {"p": priority, "since": since, "now": NOW}
        )
    assert in_sql == level(priority, since, NOW)


@pytest.mark.parametrize(
    ("call", "inside"),
    [
        ("usage_share(u.usage, u.rate, u.as_of, now()) FROM project_usage u", "power("),
        ("task_level(s.priority, s.since, now()) FROM task_scheduling s", "floor("),
    ],
)
def test_functions_of_the_order_are_inlined_by_postgresql(session: Session, call, inside):
    """Check the query plan, because calls per row would take a fifth of the time of a claim."""
    plan = " ".join(session.scalars(text(f"EXPLAIN VERBOSE SELECT {call}")))
    assert inside in plan
    assert not re.search("usage_share|decayed_usage|usage_left|task_level", plan)


@pytest.fixture
def database_engine(session: Session):
    return session.get_bind()


waiting = st.fixed_dictionaries(
    {
        "project": st.integers(0, 3),
        "priority": st.integers(1, 10),
        "minutes": st.integers(0, 5000),
        "cpus": st.sampled_from([1.0, 2.0, 4.0]),
    }
)


@pytest.fixture
def projects(session: Session) -> list[Project]:
    return [make_project(session) for _ in range(4)]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    tasks=st.lists(waiting, min_size=1, max_size=25),
    usages=st.lists(st.sampled_from([0.0, 10.0, 500.0]), min_size=4, max_size=4),
    free=st.sampled_from([1.0, 2.0, 4.0]),
)
def test_pick_follows_the_formula_until_the_queue_is_empty(
    session: Session, kind, projects: list[Project], tasks, usages, free
):
    """Check that each pick returns the first task in formula order that may start."""
    for table in ("tasks", "project_usage"):
        session.execute(text(f"DELETE FROM {table}"))
    for project, usage in zip(projects, usages, strict=True):
        session.execute(
            text("INSERT INTO project_usage (project_id, usage, as_of) VALUES (:p, :u, :now)"),
            {"p": project.id, "u": usage, "now": NOW},
        )
    session.commit()
    keys = {}
    cpus = {}
    for wanted in tasks:
        since = NOW - timedelta(minutes=wanted["minutes"])
        task = make_task(
            session,
            projects[wanted["project"]],
            priority=wanted["priority"],
            scheduling={"since": since, "cpus": wanted["cpus"]},
        )
        cpus[task.id] = wanted["cpus"]
        keys[task.id] = order_key(
            priority=wanted["priority"],
            usage=usages[wanted["project"]],
            since=since,
            task_id=task.id,
            now=NOW,
        )
    order = sorted(keys, key=keys.__getitem__)
    for place, task_id in enumerate(order):
        assert queries.tasks_ahead(session, task_id, NOW) == place
    left = list(order)
    while left:
        found = queries.pick(
            session,
            ["default", "empty"],
            "[]",
            total=Room(4, 0),
            free=Room(free, 0),
            blocked_too=True,
            now=NOW,
        )
        if cpus[left[0]] > free:
            assert (found.task_id, found.blocked) == (None, left[0])
            later = [task_id for task_id in left if cpus[task_id] <= free]
            found = queries.pick(
                session, ["default"], "[]",
                total=Room(4, 0), free=Room(free, 0), blocked_too=False, now=NOW,
            )  # fmt: skip
            assert found.task_id == (later[0] if later else None)
            break
        assert found.task_id == left[0]
        session.execute(
            text("UPDATE tasks SET status = 'running' WHERE id = :id"), {"id": left.pop(0)}
        )
    session.rollback()


def test_pick_reads_all_lines_when_the_first_ones_do_not_suit(
    session: Session, kind, submit: Callable[..., object]
):
    """Use more projects than the first query reads; only the last project's task may start."""
    projects = [make_project(session) for _ in range(40)]
    for place, project in enumerate(projects):
        last = place == len(projects) - 1
        make_task(
            session, project, priority=1 if last else 9, scheduling={"cpus": 1.0 if last else 64.0}
        )
    found = queries.pick(
        session, ["default"], "[]", total=Room(2, 0), free=Room(2, 0), blocked_too=True
    )
    assert found.task_id is not None


def test_places_of_several_tasks_equal_their_single_places(session: Session, kind, projects):
    tasks = [make_task(session, projects[n % 4], priority=1 + (n * 7) % 10) for n in range(20)]
    places = queries.queue_positions(session, [(task.id, "default") for task in tasks])
    assert sorted(places.values()) == list(range(1, 21))
    for task in tasks:
        assert queries.tasks_ahead(session, task.id) == places[task.id] - 1
    ordered = sorted(tasks, key=lambda task: places[task.id])
    assert all(a.priority >= b.priority for a, b in pairwise(ordered))
