"""When a schedule is due. Pure: the caller says what time it is."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

MISSED_AFTER = timedelta(minutes=5)
"""What is fired later than this was missed; the sweep looks every few seconds."""


class NoTimes(ValueError):
    """The expression can't be read, or no day meets it."""


def zone_of(name: str) -> ZoneInfo:
    """The zone of the IANA database.

    Raises:
        LookupError: when there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LookupError(name) from error


def times_after(cron: str, timezone: str, moment: datetime, count: int = 1) -> list[datetime]:
    """The next times after ``moment``, in UTC; fewer than ``count`` when there are no more.

    Times are those of a clock on the wall of ``timezone``, with Debian's rules for the two days a
    year on which it is changed: what falls into the hour that is left out is due right after it,
    what falls into the hour that comes twice is due once.

    Raises:
        NoTimes: for what is no expression of five fields, or never due.
        LookupError: for an unknown zone.
    """
    zone = zone_of(timezone)
    if len(cron.split()) != 5:
        raise NoTimes("it must have five fields: minute, hour, day, month, weekday")
    try:
        found = list(islice(CronSim(cron, moment.astimezone(zone)), count))
    except CronSimError as error:
        raise NoTimes(str(error)) from error
    if not found:
        raise NoTimes("it is never due")
    return [time.astimezone(UTC) for time in found]


def was_missed(due: datetime, now: datetime) -> bool:
    """Whether the platform was not there when it should have been fired."""
    return now - due > MISSED_AFTER
