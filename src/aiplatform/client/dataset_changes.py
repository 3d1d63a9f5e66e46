"""New versions made from existing ones, and tags: methods of ``client.datasets``."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from aiplatform.client.base import Group, Resource
from aiplatform.client.dataset_rows import Where, conditions_of
from aiplatform.client.projects import ProjectLike
from aiplatform.client.transfers import UploadData
from aiplatform.client.transport import segment
from aiplatform.protocol.shapes.datasets import TagOut

if TYPE_CHECKING:
    from aiplatform.client.datasets import Dataset, DatasetLike, DatasetVersion


class DatasetTag(Resource, TagOut):
    """A name for a version, which can be moved to another version."""


class DatasetChanges(Group):
    """The methods of ``client.datasets`` that make new versions from existing ones.

    The new version is made from ``parent``. By default, that is the version that the dataset
    argument names (``name@v2``, or a :class:`DatasetVersion`), or else the current version.
    """

    if TYPE_CHECKING:

        def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str: ...

        def _parent(self, dataset: DatasetLike, parent: str | None) -> str | None: ...

        add_version: Callable[..., DatasetVersion]

    def append(self, dataset: "DatasetLike", data: UploadData, **options: Any) -> "DatasetVersion":
        """Commit a version with rows added after those of the current version, or of ``parent``.

        Other options are those of :meth:`Datasets.add_version`.
        """
        return self.add_version(dataset, data, mode="append", **options)

    def upsert(
        self, dataset: "DatasetLike", data: UploadData, *, key: str, **options: Any
    ) -> "DatasetVersion":
        """Commit a version in which rows replace those with the same ``key``; other rows are added.

        Columns that ``data`` lacks keep their values.
        """
        return self.add_version(dataset, data, mode="upsert", key=key, **options)

    def delete_rows(
        self, dataset: "DatasetLike", data: UploadData, *, key: str, **options: Any
    ) -> "DatasetVersion":
        """Commit a version without the rows whose ``key`` occurs in ``data``."""
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
        """Commit a version with changes of single rows, given by their positions (from 0).

        Args:
            dataset: the dataset.
            set: new values of cells, by the position of the row.
            add: rows to add after the others.
            delete: positions of rows to delete.
            message: a description of the version.
            parent: the version or tag that the positions refer to.
            project: the project in which to look up a name.
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
        """Commit a version with the rows that meet all conditions, or with ``drop`` the others.

        Args:
            dataset: the dataset.
            where: a filter such as ``'score >= 0.5 and not label in ("a", "b")'``, or a list of
                filters or of ``{"column": "score", "op": ">=", "value": 0.5}``. All of them must be
                met.
            drop: remove the matching rows instead of keeping them.
            message: a description of the version.
            parent: the version or tag to filter.
            project: the project in which to look up a name.
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
        """Commit a version with renamed columns, from which its shape is detected again.

        Args:
            dataset: the dataset.
            columns: new names by old names, such as ``{"question": "prompt", "answer":
                "completion"}``. :data:`aiplatform.protocol.reading_options.ShapeColumn` lists the
                names that shapes use.
            message: a description of the version.
            parent: the version or tag to change.
            project: the project in which to look up a name.
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
        """Split the rows into new datasets, one for each fraction, in the order of the fractions.

        Args:
            dataset: the dataset.
            fractions: such as ``{"train": 0.9, "eval": 0.1}``.
            seed: the same seed splits in the same way.
            stratify: a column whose values shall be equally frequent in each part.
            group: a column; rows with equal values in it stay together.
            by: ``question`` keeps all rows with the same question together, whatever the answer;
                ``row`` keeps only equal rows together.
            near: also keep rows together that differ in a few words.
            names: the names of the new datasets, by part; by default ``DATASET-PART``.
            version: the version or tag to split.
            message: a description of the new versions.
            project: the project in which to look up a name.
        """
        from aiplatform.client.datasets import Dataset  # noqa: PLC0415  (circular import)

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
        """Return the tags of a dataset."""
        found = self._http.get(f"{self.path(dataset, project)}/tags")
        return self._make_all(DatasetTag, found["items"])

    def tag(
        self, dataset: "DatasetLike", name: str, version: str, *, project: ProjectLike | None = None
    ) -> list[DatasetTag]:
        """Set a tag to a version, or move it there, and return all tags of the dataset."""
        path = f"{self.path(dataset, project)}/tags/{segment(name)}"
        found = self._http.request("PUT", path, json={"version": version}).json()
        return self._make_all(DatasetTag, found["items"])

    def untag(
        self, dataset: "DatasetLike", name: str, *, project: ProjectLike | None = None
    ) -> None:
        """Remove a tag."""
        self._http.request("DELETE", f"{self.path(dataset, project)}/tags/{segment(name)}")

    def _version(self, data: Any) -> "DatasetVersion":
        from aiplatform.client.datasets import DatasetVersion  # noqa: PLC0415  (circular import)

        return self._make(DatasetVersion, data)
