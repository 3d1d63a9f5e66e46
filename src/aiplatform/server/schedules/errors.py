"""Errors about schedules, which the API returns as problem documents."""

from aiplatform.server.core.errors import Invalid


class InvalidCronExpression(Invalid):
    """A cron expression that can't be parsed, or that never matches a time."""

    code = "schedule.invalid_cron"


class InvalidTimezone(Invalid):
    """A name that is not a time zone in the IANA database."""

    code = "schedule.invalid_timezone"
