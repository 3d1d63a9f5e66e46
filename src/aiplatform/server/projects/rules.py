"""Rules for projects, their bin and their retention policy."""

from collections.abc import Mapping
from typing import Any

DELETED = "deleted"
"""Status of a project in the bin. It is not a ``ProjectStatus``: no response contains it."""

MAX_BIN_DAYS = 3650
BIN_DAYS = "bin_days"
"""Key in a project's ``config`` for the number of days that its bin keeps deleted resources."""


def days_in_bin(config: Mapping[str, Any] | None, default: int) -> int:
    """Return how many days the bin keeps a deleted resource; 0 means immediate deletion."""
    days = (config or {}).get(BIN_DAYS)
    if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= MAX_BIN_DAYS:
        return default
    return days


RETENTION = "retention"
"""Key in a project's ``config`` for its retention policy: which data of ended tasks is kept."""
RETENTION_DAYS = ("log_days", "telemetry_days", "checkpoint_days")
RETENTION_COUNTS = ("checkpoints_last", "checkpoints_best")
MAX_CHECKPOINTS = 100


def retention_in(config: Mapping[str, Any] | None) -> dict[str, int | None]:
    """Return the retention policy in a project's ``config``.

    None instead of a number of days means that the data is kept forever.

    Raises:
        ValueError: for an invalid policy.
    """
    found = (config or {}).get(RETENTION, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{RETENTION} must be an object")  # noqa: TRY004  (a schema error)
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
    """Return the retention policy of a stored ``config``.

    An invalid policy that was stored before the platform used this key counts as empty.
    """
    try:
        return retention_in(config)
    except ValueError:
        return {}


def restored_name(name: str, attempt: int, limit: int = 255) -> str:
    """Return a new name for a resource restored from the bin whose old name is in use."""
    suffix = "-restored" if attempt == 1 else f"-restored-{attempt}"
    return name[: limit - len(suffix)] + suffix
