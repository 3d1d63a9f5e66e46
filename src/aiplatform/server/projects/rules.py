"""Rules of projects, their bin and their quotas."""

from collections.abc import Mapping
from typing import Any

DELETED = "deleted"
"""The status of a project in the bin. It is no ``ProjectStatus``: no answer ever shows it."""

MAX_BIN_DAYS = 3650
BIN_DAYS = "bin_days"
"""The key of a project's ``config`` that says how long its bin keeps what is deleted."""


def days_in_bin(config: Mapping[str, Any] | None, default: int) -> int:
    """How many days the bin keeps what a project with ``config`` deletes; 0 deletes at once."""
    days = (config or {}).get(BIN_DAYS)
    if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= MAX_BIN_DAYS:
        return default
    return days


RETENTION = "retention"
"""The key of a project's ``config`` that says what is kept of tasks that have ended."""
RETENTION_DAYS = ("log_days", "telemetry_days", "checkpoint_days")
RETENTION_COUNTS = ("checkpoints_last", "checkpoints_best")
MAX_CHECKPOINTS = 100


def retention_in(config: Mapping[str, Any] | None) -> dict[str, int | None]:
    """What a project says of retention; days may be None, which keeps for good.

    Raises:
        ValueError: for what is no such policy.
    """
    found = (config or {}).get(RETENTION, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{RETENTION} must be an object")  # noqa: TRY004  (a schema's error)
    for key, value in found.items():
        days = key in RETENTION_DAYS
        if not days and key not in RETENTION_COUNTS:
            known = ", ".join(RETENTION_DAYS + RETENTION_COUNTS)
            raise ValueError(f"{RETENTION} has no {key}; there are {known}")
        least, most = (0, MAX_BIN_DAYS) if days else (key == "checkpoints_last", MAX_CHECKPOINTS)
        if value is None and days:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{RETENTION}.{key} must be a number from {int(least)} to {most}")
    return dict(found)


def stored_retention(config: Mapping[str, Any] | None) -> dict[str, int | None]:
    """What a stored ``config`` says; one from before the key meant anything says nothing."""
    try:
        return retention_in(config)
    except ValueError:
        return {}


def restored_name(name: str, attempt: int, limit: int = 255) -> str:
    """What something that leaves the bin is called when its name was given away meanwhile."""
    suffix = "-restored" if attempt == 1 else f"-restored-{attempt}"
    return name[: limit - len(suffix)] + suffix
