"""Rules for the times of schedules. All functions here are pure; callers pass the current time."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

MISSED_AFTER = timedelta(minutes=5)
"""Delay after which a firing counts as missed. Workers look for due schedules every few seconds."""


class CronExpressionError(ValueError):
    """The cron expression can't be parsed, or never matches a time."""


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone from the IANA database.

    Raises:
        LookupError: when there is no zone with that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LookupError(name) from error


def times_after(cron: str, timezone: str, moment: datetime, count: int = 1) -> list[datetime]:
    """Return the next times after ``moment``, in UTC; fewer than ``count`` if there are no more.

    Times are local times in ``timezone``, with Debian's rules for daylight saving changes: a time
    in the skipped hour is due right after it, and a time in the hour that occurs twice is due once.

    Raises:
        CronExpressionError: for an expression without five fields, or one that never matches.
        LookupError: for an unknown zone.
    """
    zone = zone_of(timezone)
    if len(cron.split()) != 5:
        raise CronExpressionError("it must have five fields: minute, hour, day, month, weekday")
    try:
        found = list(islice(CronSim(cron, moment.astimezone(zone)), count))
    except CronSimError as error:
        raise CronExpressionError(str(error)) from error
    if not found:
        raise CronExpressionError("it is never due")
    return [time.astimezone(UTC) for time in found]


def was_missed(due: datetime, now: datetime) -> bool:
    """Return True if a firing is so late that the platform must have been down when it was due."""
    return now - due > MISSED_AFTER
