"""Problems that the routes of schedules answer with."""

from aiplatform.server.core.errors import Invalid


class InvalidCronExpression(Invalid):
    """A cron expression that can't be read, or that never matches a time."""

    code = "cron_invalid"
    title = {"en": "Invalid cron expression", "zh": "cron 表达式无效"}
    detail = {
        "en": "{cron!r} is not a cron expression with five fields (such as '30 2 * * *'), or "
        "no date ever matches it: {reason}",
        "zh": "{cron!r} 不是有效的五字段 cron 表达式（例如 '30 2 * * *'），"
        "或没有任何日期符合：{reason}",
    }


class InvalidTimezone(Invalid):
    """A name that is not a time zone of the IANA database."""

    code = "timezone_invalid"
    title = {"en": "Unknown time zone", "zh": "未知时区"}
    detail = {
        "en": "{timezone!r} is not a time zone. Write it like Europe/Berlin, Asia/Shanghai or UTC.",
        "zh": "{timezone!r} 不是有效时区，请写作 Asia/Shanghai、Europe/Berlin 或 UTC。",
    }
