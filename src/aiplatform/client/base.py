"""Base classes for resources, paged lists and groups of operations, and a lookup by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx
from pydantic import ConfigDict, PrivateAttr, ValidationError

from aiplatform.client.display import (
    ITEMS_SHOWN,
    ROWS_SHOWN,
    ResourceList,
    html,
    lines_of,
    printable,
    record_of,
    summary,
    table_of,
)
from aiplatform.client.errors import AmbiguousName, NotFound, PreconditionFailed, UnexpectedAnswer
from aiplatform.client.transport import Transport, decoded
from aiplatform.language import tr
from aiplatform.protocol.shapes.projects import ProjectOut
from aiplatform.protocol.shapes.shape import Shape
from aiplatform.protocol.validation_errors import message_of, place_of

T = TypeVar("T")

MOST_AT_ONCE = 100
"""Largest number of items in one page."""


class Pages(Generic[T]):
    """A list on the server, fetched page by page.

    Each iteration starts at the first page. ``all()`` fetches all items, and ``first()`` fetches
    only one. Displaying the list in a shell or notebook fetches the first page.

    Args:
        fetch: returns the page after a cursor, with at most the given number of items.
        make: converts an item of the server's response.
        limit: the largest number of items; by default there is no limit.

    Raises:
        ValueError: for a limit below zero.
    """

    def __init__(
        self,
        fetch: Callable[[str | None, int], dict[str, Any]],
        make: Callable[[Any], T],
        *,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"a limit is 0 or more, not {limit}")
        self._fetch = fetch
        self._make = make
        self._limit = limit

    def __iter__(self) -> Iterator[T]:
        return self._items(page_size=MOST_AT_ONCE)

    def all(self) -> list[T]:
        """Return all items."""
        return ResourceList(self)

    def first(self) -> T | None:
        """Return the first item, or ``None`` if the list is empty."""
        return next(self._items(page_size=1), None)

    def take(self, count: int) -> list[T]:
        """Return the first ``count`` items, or all if there are fewer."""
        items = self._items(page_size=max(1, min(count, MOST_AT_ONCE)))
        return ResourceList(islice(items, count))

    def __repr__(self) -> str:
        try:
            return lines_of(self.take(ITEMS_SHOWN + 1))
        except Exception as error:  # noqa: BLE001  (debuggers and logs call it at any time)
            return self._refusal(error)

    def _repr_html_(self) -> str:
        """Return the list as an HTML table, for notebooks."""
        try:
            return table_of(self.take(ROWS_SHOWN + 1))
        except Exception as error:  # noqa: BLE001  (a notebook would show a traceback)
            return html(self._refusal(error))

    def _refusal(self, error: Exception) -> str:
        """Return the text that is shown instead of a list that can't be read."""
        return printable(f"<{type(self).__name__}: {error}>")

    def _items(self, page_size: int) -> Iterator[T]:
        if self._limit == 0:
            return iter(())
        size = page_size if self._limit is None else min(page_size, self._limit)
        return islice(self._pages(size), self._limit)

    def _pages(self, page_size: int) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._fetch(cursor, page_size)
            if not isinstance(page, dict) or "items" not in page:
                raise UnexpectedAnswer(tr("the server's answer is not a page of a list"))
            yield from map(self._make, page["items"])
            following = page.get("next_cursor")
            if following is None:
                return
            if following == cursor:
                raise UnexpectedAnswer(tr("the server returned the same page of a list twice"))
            cursor = following


class Connection:
    """The connection to a server, with the settings that all groups share.

    :class:`~aiplatform.client.client.Client` is derived from this class.

    Groups and resources depend only on this class, which avoids import cycles. Only
    :class:`~aiplatform.client.client.Client` refers to all groups. A group that needs another group
    creates it, because groups have no state.

    Args:
        transport: the connections to the server.
        project: the default project for operations that need one.
    """

    def __init__(self, transport: Transport, project: ProjectOut | UUID | str | None) -> None:
        self.transport = transport
        self.project = project

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.transport.url


class Resource(Shape):
    """A copy of a server object, with a reference to the client that read it.

    Responses are parsed by :meth:`~aiplatform.protocol.shapes.shape.Shape.read_answer`: fields that
    a newer server adds can be read as attributes, too.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    _client: Connection = PrivateAttr()
    _etag: str | None = PrivateAttr(None)

    @property
    def client(self) -> Any:
        """The :class:`~aiplatform.Client` that read this resource."""
        return self._client

    @property
    def etag(self) -> str | None:
        """The ETag for conditional updates; None if the resource came from a list."""
        return self._etag

    def bind(self, client: Connection, etag: str | None = None) -> None:
        """Store the client that read the resource, for further requests."""
        self._client = client
        self._etag = etag

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return only the name and state, because a resource may have very many fields."""
        return summary(self)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        """Return an HTML table of all fields, for notebooks."""
        return record_of(self)


def purge_time(response: httpx.Response) -> datetime | None:
    """Return the time until which a deleted resource can be restored; None if it can't be."""
    header = response.headers.get("purge-after")
    return None if header is None else datetime.fromisoformat(header)


R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Shape)


def as_uuid(value: object) -> UUID | None:
    """Return ``value`` as a UUID, or None if it is not one."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            return None
    return None


class Group:
    """The operations on one kind of resource."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._http = client.transport

    def _make(self, kind: type[R], data: Any, etag: str | None = None) -> R:
        resource = self._read(kind, data)
        resource.bind(self._client, etag)
        return resource

    def _read(self, kind: type[S], data: Any) -> S:
        """Convert the JSON of a response to an object of class ``kind``.

        Raises:
            UnexpectedAnswer: if the JSON does not have the fields of this class.
        """
        try:
            return kind.read_answer(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = place_of(first) or "the answer"
            raise UnexpectedAnswer(
                tr(
                    "the server described a {kind} that this version of the SDK cannot read "
                    "({where}: {reason})",
                    kind=kind.__name__.removesuffix("Out").lower(),
                    where=where,
                    reason=message_of(first),
                )
            ) from error

    def _make_all(self, kind: type[R], items: Iterable[Any]) -> list[R]:
        return ResourceList(self._make(kind, item) for item in items)

    def _get(self, kind: type[R], path: str) -> R:
        response = self._http.request("GET", path)
        return self._make(kind, decoded(response), response.headers.get("etag"))

    def _shapes(self, kind: type[S], path: str, **params: Any) -> Pages[S]:
        """List objects that contain only data and have no methods."""
        return Pages(
            lambda cursor, size: self._http.get(path, cursor=cursor, limit=size, **params),
            lambda item: self._read(kind, item),
        )

    def _pages(
        self, kind: type[R], path: str, *, limit: int | None = None, **params: Any
    ) -> Pages[R]:
        return Pages(
            lambda cursor, size: self._http.get(path, cursor=cursor, limit=size, **params),
            lambda item: self._make(kind, item),
            limit=limit,
        )

    def _patch(self, kind: type[R], path: str, held: object, changes: Mapping[str, Any]) -> R:
        """Change a resource, unless another client has changed it since the caller read it.

        A resource that came from a list has no ETag; in that case, its modification time is
        compared instead.
        """
        etag = held.etag if isinstance(held, Resource) else None
        if etag is None:
            fresh = self._get(kind, path)
            read_at: datetime | None = getattr(held, "updated_at", None)
            if read_at is not None and read_at != getattr(fresh, "updated_at", read_at):
                raise PreconditionFailed(
                    tr("the {kind} was changed after you read it", kind=kind.__name__.lower()),
                    code="client.changed_since",
                )
            etag = fresh.etag
        response = self._http.request(
            "PATCH", path, json=changes, headers={"If-Match": etag or "*"}
        )
        return self._make(kind, decoded(response), response.headers.get("etag"))


def name_of(resource: Shape) -> str:
    """Return the name of a resource, or an empty string if it has none."""
    return str(getattr(resource, "name", ""))


def find_by_name(
    pages: Callable[..., Pages[S]],
    name: str,
    kind: str,
    where: str,
    get_name: Callable[[S], str] = name_of,
) -> S:
    """Return the only resource with the given name, which ``get_name`` extracts.

    Raises:
        NotFound: if there is none; the hint lists some existing names, in case of a typo.
        AmbiguousName: if several resources have this name.
    """
    named = [resource for resource in pages(name=name) if get_name(resource) == name]
    if len(named) == 1:
        return named[0]
    if named:
        error = AmbiguousName(
            tr(
                "several {kind}s {where} are named {name}",
                kind=tr(kind),
                where=tr(where),
                name=name,
            )
        )
        uuids = (str(getattr(resource, "uuid", "")) for resource in named)
        error.hint = tr("Give the uuid instead: {uuids}.", uuids=", ".join(uuids))
        raise error
    known = ", ".join(sorted({get_name(resource) for resource in pages().take(8)}))
    hint = (
        tr("There are: {names}.", names=known)
        if known
        else tr("There is no {kind} {where} yet.", kind=tr(kind), where=tr(where))
    )
    raise NotFound(
        tr("no {kind} {where} is named {name}", kind=tr(kind), where=tr(where), name=name),
        code="client.no_such_name",
        hint=hint,
    )
