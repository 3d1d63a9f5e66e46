"""Lookups of names by uuid, and of uuids by their first characters."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

from aiplatform.cli.output import SHORT_UUID

if TYPE_CHECKING:
    from aiplatform.client import Client

MIN_PREFIX_LENGTH = 6
"""Minimum length of a uuid prefix that commands accept instead of the whole uuid."""


class HasUuid(Protocol):
    """A resource that is identified by a uuid."""

    uuid: UUID


U = TypeVar("U", bound=HasUuid)

NAMES: Mapping[str, Callable[["Client", UUID], str]] = {
    "project": lambda client, uuid: client.projects.get(uuid).name,
    "experiment": lambda client, uuid: client.experiments.get(uuid).name,
    "task": lambda client, uuid: client.tasks.get(uuid).name,
    "model": lambda client, uuid: client.models.get(uuid).reference,
    "base_model": lambda client, uuid: client.models.get(uuid).reference,
    "user": lambda client, uuid: client.users.get(uuid).username,
    "dataset": lambda client, uuid: client.datasets.get(uuid).name,
}
"""Fields that contain uuids, with functions that return the corresponding names."""


def with_names(client: "Client", fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a resource with names in place of uuids.

    The names are requested with the caller's own permissions. A uuid whose name is not available is
    shortened.
    """
    known: dict[tuple[str, str], str] = {}

    def name_of(field: str, uuid: UUID) -> str:
        from aiplatform.client import ClientError

        key = (field, str(uuid))
        if key not in known:
            try:
                known[key] = NAMES[field](client, uuid)
            except ClientError:
                known[key] = str(uuid)[:SHORT_UUID]
        return known[key]

    def named(field: str, value: Any) -> Any:
        if isinstance(value, dict):
            inner = {name: named(name, part) for name, part in value.items()}
            if set(inner) == {"dataset", "version"}:
                version = f"@{inner['version']}" if inner["version"] else ""
                return f"{inner['dataset']}{version}"
            return inner
        if isinstance(value, list):
            return [named(field, item) for item in value]
        uuid = _as_uuid(value) if field in NAMES else None
        return value if uuid is None else name_of(field, uuid)

    return {name: named(name, value) for name, value in fields.items()}


def find_by_uuid_prefix(beginning: str, items: Iterable[U], *, refusal: str, hint: str) -> U:
    """Return the item whose uuid starts with ``beginning``.

    Raises:
        CommandError: with ``refusal`` and ``hint`` if there is none, or more than one.
    """
    from aiplatform.cli.errors import CommandError, ExitCode

    start = beginning.lower()
    found = [item for item in items if str(item.uuid).startswith(start)]
    if len(start) < MIN_PREFIX_LENGTH or len(found) != 1:
        raise CommandError(refusal, hint, ExitCode.USAGE)
    return found[0]


def complete_uuid(given: str, items: Iterable[HasUuid], *, refusal: str, hint: str) -> UUID:
    """Return the given uuid; if only its start is given, complete it from ``items``.

    Raises:
        CommandError: see :func:`find_by_uuid_prefix`.
    """
    return _as_uuid(given) or find_by_uuid_prefix(given, items, refusal=refusal, hint=hint).uuid


def _as_uuid(value: object) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
