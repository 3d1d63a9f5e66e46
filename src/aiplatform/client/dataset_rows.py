"""Rows of versions, and what differs between two: ``rows``, ``sample``, ``diff`` of datasets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

from aiplatform.client.base import Group
from aiplatform.client.errors import UnexpectedAnswer
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.transport import segment
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps

if TYPE_CHECKING:
    from aiplatform.client.datasets import DatasetLike


Where: TypeAlias = "str | Sequence[str | Mapping[str, Any]]"
"""A filter such as ``score >= 0.5``, or several conditions that must all be met."""


def conditions_of(where: Where) -> Sequence[str | Mapping[str, Any]]:
    """Return the conditions one by one."""
    return [where] if isinstance(where, str) else where


class PlacedRow(NamedTuple):
    """A row and its place in the version, from 0: what ``patch`` knows it by."""

    place: int
    row: dict[str, Any]


@dataclass(frozen=True)
class DatasetDiff:
    """Differences between two versions.

    Attributes:
        before: the label of the one.
        after: the label of the other.
        summary: how many rows were added, removed, changed; cells by column; changes of columns.
        entries: each with its ``kind``, its places, and its ``row`` or the ``cells`` that differ.
    """

    before: str
    after: str
    summary: dict[str, Any]
    entries: Pages[dict[str, Any]]


class DatasetRows(Group):
    """What of ``client.datasets`` reads rows."""

    if TYPE_CHECKING:

        def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str: ...

        def _version_path(
            self, dataset: DatasetLike, version: str | None, project: ProjectLike | None
        ) -> str: ...

    @overload
    def rows(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        offset: int = 0,
        search: str | None = None,
        where: Where = (),
        finding: str | None = None,
        places: Literal[False] = False,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[dict[str, Any]]: ...

    @overload
    def rows(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        offset: int = 0,
        search: str | None = None,
        where: Where = (),
        finding: str | None = None,
        places: Literal[True],
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[PlacedRow]: ...

    def rows(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        offset: int = 0,
        search: str | None = None,
        where: Where = (),
        finding: str | None = None,
        places: bool = False,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[dict[str, Any]] | Pages[PlacedRow]:
        """The rows of a version, the current one by default.

        Args:
            offset: the place of the first.
            search: only rows with this text somewhere, in whatever case.
            where: only rows that meet all conditions, as in :meth:`filter`.
            finding: only rows that this finding of the quality report is about, by its code. The
                first time they are looked for, which takes as long as the report.
            places: each row as a :class:`PlacedRow`, ``(place, row)``; :meth:`patch` takes places.
        """
        path = self._version_path(dataset, version, project)
        path += "/rows" if finding is None else f"/findings/{segment(finding)}/rows"
        wanted = {
            "offset": offset or None,
            "search": search,
            "where": [
                one if isinstance(one, str) else dumps(dict(one)) for one in conditions_of(where)
            ]
            or None,
        }

        def page(cursor: str | None, size: int) -> dict[str, Any]:
            return dict(self._http.get(path, cursor=cursor, limit=size, **wanted))

        if not places:
            return Pages(page, dict, limit=limit)
        return Pages(
            lambda cursor, size: _placed(page(cursor, size)),
            lambda item: PlacedRow(*item),
            limit=limit,
        )

    @overload
    def sample(
        self,
        dataset: "DatasetLike",
        count: int = 20,
        *,
        seed: int = 0,
        version: str | None = None,
        finding: str | None = None,
        places: Literal[False] = False,
        project: ProjectLike | None = None,
    ) -> list[dict[str, Any]]: ...

    @overload
    def sample(
        self,
        dataset: "DatasetLike",
        count: int = 20,
        *,
        seed: int = 0,
        version: str | None = None,
        finding: str | None = None,
        places: Literal[True],
        project: ProjectLike | None = None,
    ) -> list[PlacedRow]: ...

    def sample(
        self,
        dataset: "DatasetLike",
        count: int = 20,
        *,
        seed: int = 0,
        version: str | None = None,
        finding: str | None = None,
        places: bool = False,
        project: ProjectLike | None = None,
    ) -> list[dict[str, Any]] | list[PlacedRow]:
        """At most 200 rows drawn at random, of a finding if one is named; the same seed draws the
        same.

        With ``places`` as in :meth:`rows`.
        """
        path = self._version_path(dataset, version, project)
        path += "/rows" if finding is None else f"/findings/{segment(finding)}/rows"
        drawn = self._http.get(path, sample=count, seed=seed)
        if places:
            return [PlacedRow(*item) for item in _placed(drawn)["items"]]
        return list(drawn["items"])

    def diff(
        self,
        dataset: "DatasetLike",
        before: str,
        after: str | None = None,
        *,
        key: str | None = None,
        kinds: Iterable[str] = (),
        project: ProjectLike | None = None,
    ) -> "DatasetDiff":
        """What differs between two versions.

        Args:
            before: a version or tag.
            after: another one, by default the current version.
            key: the column that pairs rows; without one, rows are only added or removed.
            kinds: only ``added``, ``removed`` or ``changed``.
        """
        path = f"{self.path(dataset, project)}/diff"
        wanted = {"before": before, "after": after, "key": key, "kind": list(kinds) or None}
        first = self._http.get(path, limit=1, **wanted)
        entries = Pages(
            lambda cursor, limit: self._http.get(path, cursor=cursor, limit=limit, **wanted), dict
        )
        return DatasetDiff(first["before"], first["after"], first["summary"], entries)


def _placed(page: dict[str, Any]) -> dict[str, Any]:
    """A page of rows with each item's place beside it.

    Raises:
        UnexpectedAnswer: the page does not say where its rows are.
    """
    items, places = page.get("items") or [], page.get("places")
    if not isinstance(places, list) or len(places) != len(items):
        raise UnexpectedAnswer(tr("the server answered rows without their places"))
    return {**page, "items": list(zip(places, items, strict=True))}
