"""Versions made of versions, and tags: ``client.datasets.append``, ``patch``, ``split``, …"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from aiplatform.client.base import Group, Resource, UserRef
from aiplatform.client.dataset_rows import Where, conditions_of
from aiplatform.client.projects import ProjectLike
from aiplatform.client.transfers import UploadData
from aiplatform.client.transport import segment

if TYPE_CHECKING:
    from aiplatform.client.datasets import Dataset, DatasetLike, DatasetVersion


class DatasetTag(Resource):
    """A name for a version, which may be moved to another."""

    name: str
    version: str
    moved_by: UserRef | None = None
    moved_at: str | None = None


class DatasetChanges(Group):
    """What of ``client.datasets`` makes versions of versions.

    They are made from ``parent``, else from the version that the dataset is given with
    (``name@v2``, or a :class:`DatasetVersion`), else from the current one.
    """

    if TYPE_CHECKING:

        def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str: ...

        def _parent(self, dataset: DatasetLike, parent: str | None) -> str | None: ...

        add_version: Callable[..., DatasetVersion]

    def append(self, dataset: "DatasetLike", data: UploadData, **options: Any) -> "DatasetVersion":
        """Commit a version with more rows behind those of the current one, or of ``parent``.

        Other options as in :meth:`Datasets.add_version`.
        """
        return self.add_version(dataset, data, mode="append", **options)

    def upsert(
        self, dataset: "DatasetLike", data: UploadData, *, key: str, **options: Any
    ) -> "DatasetVersion":
        """Commit a version with rows in place of those with the same ``key``; others are added.

        Columns that ``data`` lacks stay as they were.
        """
        return self.add_version(dataset, data, mode="upsert", key=key, **options)

    def delete_rows(
        self, dataset: "DatasetLike", data: UploadData, *, key: str, **options: Any
    ) -> "DatasetVersion":
        """Commit a version without the rows whose ``key`` is in ``data``."""
        return self.add_version(dataset, data, mode="delete", key=key, **options)

    def patch(
        self,
        dataset: "DatasetLike",
        *,
        set: Mapping[int, Mapping[str, Any]] | None = None,  # noqa: A002  (the word of the API)
        add: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[int] = (),
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> "DatasetVersion":
        """Commit a version with single rows changed, by their places in it, from 0.

        Args:
            set: other values for some cells, by the row's place.
            add: rows that come behind the others.
            delete: places of rows that go.
            message: what this version is.
            parent: the version or tag whose places these are.
        """
        body = {
            "set": [{"row": row, "values": dict(cells)} for row, cells in (set or {}).items()],
            "add": [dict(row) for row in add],
            "delete": list(delete),
            "message": message,
            "parent": self._parent(dataset, parent),
        }
        return self._version(self._http.post(f"{self.path(dataset, project)}/patch", body))

    def filter(
        self,
        dataset: "DatasetLike",
        where: Where,
        *,
        drop: bool = False,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> "DatasetVersion":
        """Commit a version of the rows that meet all conditions, or with ``drop`` of the others.

        Args:
            where: a filter such as ``'score >= 0.5 and not label in ("a", "b")'``, or several of
                them, or of ``{"column": "score", "op": ">=", "value": 0.5}``; all must be met.
        """
        body = {
            "where": [one if isinstance(one, str) else dict(one) for one in conditions_of(where)],
            "drop": drop,
            "message": message,
            "parent": self._parent(dataset, parent),
        }
        return self._version(self._http.post(f"{self.path(dataset, project)}/filter", body))

    def map(
        self,
        dataset: "DatasetLike",
        columns: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> "DatasetVersion":
        """Commit a version whose columns are called what they are, which makes its shape.

        Args:
            columns: such as ``{"question": "prompt", "answer": "completion"}``; the names that
                shapes have are those of :data:`aiplatform.protocol.intake.ShapeColumn`.
        """
        body = {
            "map": dict(columns),
            "message": message,
            "parent": self._parent(dataset, parent),
        }
        return self._version(self._http.post(f"{self.path(dataset, project)}/map", body))

    def split(
        self,
        dataset: "DatasetLike",
        fractions: Mapping[str, float],
        *,
        seed: int = 0,
        stratify: str | None = None,
        group: str | None = None,
        by: Literal["question", "row"] = "question",
        near: bool = False,
        names: Mapping[str, str] | None = None,
        version: str | None = None,
        message: str | None = None,
        project: ProjectLike | None = None,
    ) -> "list[Dataset]":
        """Deal the rows out to new datasets, one for each fraction and in their order.

        Args:
            fractions: such as ``{"train": 0.9, "eval": 0.1}``.
            seed: the same one deals the same way.
            stratify: a column whose values shall be as frequent in each part.
            group: a column whose equal values stay together.
            by: ``question`` keeps all rows of a question together, whatever is answered; ``row``
                only equal rows.
            near: whether rows that differ in a few words stay together, too.
            names: of the datasets, by part; else ``DATASET-PART``.
        """
        from aiplatform.client.datasets import Dataset  # noqa: PLC0415  (which imports this)

        body = {
            "fractions": dict(fractions),
            "seed": seed,
            "stratify": stratify,
            "group": group,
            "by": by,
            "near": near,
            "names": dict(names or {}),
            "version": self._parent(dataset, version),
            "message": message,
        }
        made = self._http.post(f"{self.path(dataset, project)}/split", body)
        return self._make_all(Dataset, made["datasets"])

    def restore(
        self,
        dataset: "DatasetLike",
        version: str,
        *,
        message: str | None = None,
        project: ProjectLike | None = None,
    ) -> "DatasetVersion":
        """Commit the rows of an earlier version again, as the next version."""
        body = {"version": version, "message": message}
        return self._version(self._http.post(f"{self.path(dataset, project)}/restore", body))

    def delete_version(
        self, dataset: "DatasetLike", version: str, *, project: ProjectLike | None = None
    ) -> None:
        """Delete a version. Refused if another version was made from it, or a task has read it."""
        path = f"{self.path(dataset, project)}/versions/{segment(version)}"
        self._http.request("DELETE", path)

    def tags(
        self, dataset: "DatasetLike", *, project: ProjectLike | None = None
    ) -> list[DatasetTag]:
        """The tags of a dataset."""
        found = self._http.get(f"{self.path(dataset, project)}/tags")
        return self._make_all(DatasetTag, found["items"])

    def tag(
        self, dataset: "DatasetLike", name: str, version: str, *, project: ProjectLike | None = None
    ) -> list[DatasetTag]:
        """Put a tag at a version, wherever it was before. Returns all tags."""
        path = f"{self.path(dataset, project)}/tags/{segment(name)}"
        found = self._http.request("PUT", path, json={"version": version}).json()
        return self._make_all(DatasetTag, found["items"])

    def untag(
        self, dataset: "DatasetLike", name: str, *, project: ProjectLike | None = None
    ) -> None:
        """Take a tag away."""
        self._http.request("DELETE", f"{self.path(dataset, project)}/tags/{segment(name)}")

    def _version(self, data: Any) -> "DatasetVersion":
        from aiplatform.client.datasets import DatasetVersion  # noqa: PLC0415  (which imports this)

        return self._make(DatasetVersion, data)
