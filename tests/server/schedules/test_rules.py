"""Tests of schedule times: time zones, daylight saving time, invalid expressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiplatform.server.schedules.rules import CronExpressionError, times_after, was_missed


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 2 * * *", "UTC", "2026-11-25T02:30", ["2026-11-26T02:30"]),
        ("30 2 * * *", "Asia/Shanghai", "2026-11-25T00:00", ["2026-11-25T18:30"]),
        ("0 9 * * MON-FRI", "UTC", "2026-11-27T10:00", ["2026-11-30T09:00"]),
        ("*/20 * * * *", "UTC", "2026-11-25T00:59", ["2026-11-25T01:00", "2026-11-25T01:20"]),
        # 2:30 does not exist on 29 March in Berlin, and exists twice on 25 October.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00",
         ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00",
         ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ],
)  # fmt: skip
def test_times_after_follow_zone_and_daylight_saving(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert times_after(cron, zone, at(after), len(expected)) == [at(time) for time in expected]


@pytest.mark.parametrize(
    "cron", ["* * * *", "* * * * * *", "61 * * * *", "0 0 31 2 *", "@daily", ""]
)
def test_expression_without_times_is_invalid(cron: str) -> None:
    with pytest.raises(CronExpressionError):
        times_after(cron, "UTC", at("2026-11-25T00:00"))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "", "Europe", "/etc/localtime"])
def test_unknown_zone_is_invalid(zone: str) -> None:
    with pytest.raises(LookupError):
        times_after("* * * * *", zone, at("2026-11-25T00:00"))


def test_firing_counts_as_missed_after_five_minutes() -> None:
    due = at("2026-11-25T00:00")
    assert not was_missed(due, due + timedelta(minutes=2))
    assert was_missed(due, due + timedelta(minutes=6))
