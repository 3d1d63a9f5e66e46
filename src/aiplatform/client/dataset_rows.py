"""Rows of versions, and differences between two versions: methods of ``client.datasets``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, overload

from aiplatform.client.base import Pages
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.errors import UnexpectedAnswer
from aiplatform.client.projects import ProjectLike
from aiplatform.client.transport import segment
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps

Where: TypeAlias = "str | Sequence[str | Mapping[str, Any]]"
"""A filter such as ``score >= 0.5``, or several conditions; a row must meet all of them."""


def conditions_of(where: Where) -> Sequence[str | Mapping[str, Any]]:
    """Return the conditions as a list."""
    return [where] if isinstance(where, str) else where


class PlacedRow(NamedTuple):
    """A row and its position in the version, from 0, as needed by :meth:`Datasets.patch`."""

    place: int
    row: dict[str, Any]


@dataclass(frozen=True)
class DatasetDiff:
    """The differences between two versions.

    Attributes:
        before: the label of the older version.
        after: the label of the newer version.
        summary: the numbers of added, removed and changed rows, the changed cells by column, and
            the changed columns.
        entries: the differences, each with its ``kind``, its positions, and its ``row`` or the
            ``cells`` that differ.
    """

    before: str
    after: str
    summary: dict[str, Any]
    entries: Pages[dict[str, Any]]


class DatasetRows(DatasetPaths):
    """The methods of ``client.datasets`` that read rows."""

    @overload
    def rows(
        self,
        dataset: DatasetLike,
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
        dataset: DatasetLike,
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
        dataset: DatasetLike,
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
        """List the rows of a version, by default of the current one.

        Args:
            dataset: the dataset.
            version: a version or tag; by default the current version.
            offset: the position, from 0, of the first row to return.
            search: only rows that contain this text in some column; case is ignored.
            where: only rows that meet all conditions, as in :meth:`filter`.
            finding: only rows with this finding (a code) of the quality report. The first such call
                for a version searches all its rows, which takes as long as making a report.
            places: return each row as a :class:`PlacedRow`, with its position for :meth:`patch`.
            project: the project in which to look up a name.
            limit: the largest number of rows to return.
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
        dataset: DatasetLike,
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
        dataset: DatasetLike,
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
        dataset: DatasetLike,
        count: int = 20,
        *,
        seed: int = 0,
        version: str | None = None,
        finding: str | None = None,
        places: bool = False,
        project: ProjectLike | None = None,
    ) -> list[dict[str, Any]] | list[PlacedRow]:
        """Return up to 200 rows of a version drawn at random; the same seed draws the same rows.

        With ``finding``, only rows with this finding of the quality report are drawn. With
        ``places``, each row is returned with its position, as in :meth:`rows`.
        """
        path = self._version_path(dataset, version, project)
        path += "/rows" if finding is None else f"/findings/{segment(finding)}/rows"
        drawn = self._http.get(path, sample=count, seed=seed)
        if places:
            return [PlacedRow(*item) for item in _placed(drawn)["items"]]
        return list(drawn["items"])

    def diff(
        self,
        dataset: DatasetLike,
        before: str,
        after: str | None = None,
        *,
        key: str | None = None,
        kinds: Iterable[str] = (),
        project: ProjectLike | None = None,
    ) -> "DatasetDiff":
        """Compare two versions row by row.

        Args:
            dataset: the dataset.
            before: a version or tag.
            after: another version or tag; by default the current version.
            key: the column that identifies rows. Without it, rows are only added or removed, never
                changed.
            kinds: only these kinds of differences: ``added``, ``removed``, ``changed``.
            project: the project in which to look up a name.
        """
        path = f"{self.path(dataset, project)}/diff"
        wanted = {"before": before, "after": after, "key": key, "kind": list(kinds) or None}
        first = self._http.get(path, limit=1, **wanted)
        entries = Pages(
            lambda cursor, limit: self._http.get(path, cursor=cursor, limit=limit, **wanted), dict
        )
        return DatasetDiff(first["before"], first["after"], first["summary"], entries)


def _placed(page: dict[str, Any]) -> dict[str, Any]:
    """Pair each row of a page with its position.

    Raises:
        UnexpectedAnswer: if the page does not contain the positions.
    """
    items, places = page.get("items") or [], page.get("places")
    if not isinstance(places, list) or len(places) != len(items):
        raise UnexpectedAnswer(tr("the server returned rows without their positions"))
    return {**page, "items": list(zip(places, items, strict=True))}
