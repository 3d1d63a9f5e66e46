"""API paths of datasets and versions, from the names, uuids or objects that callers pass."""

from functools import partial
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, as_uuid, find_by_name
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut

DatasetLike = DatasetOut | DatasetVersionOut | UUID | str
"""A dataset or version, a uuid, a name, or ``name@v2``."""


class DatasetPaths(Group):
    """The methods of ``client.datasets`` that look up a dataset or version."""

    def reference(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> DatasetRef:
        """Return the reference to a dataset version for a task spec.

        If ``dataset`` names no version, the reference stands for the current one.
        """
        return DatasetRef(
            dataset=self.resolve(dataset, project), version=self._parent(dataset, None)
        )

    def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str:
        """Return the path of a dataset in the API."""
        return f"datasets/{self.resolve(dataset, project)}"

    def resolve(self, dataset: DatasetLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of a dataset, looking it up by name if necessary."""
        if isinstance(dataset, DatasetOut):
            return dataset.uuid
        if isinstance(dataset, DatasetVersionOut):
            return dataset.dataset
        name = str(dataset).partition("@")[0]
        uuid = as_uuid(dataset) or as_uuid(name)
        if uuid is not None:
            return uuid
        pages = partial(self._search, project)
        return find_by_name(pages, name, "dataset", "in this project").uuid

    def _search(self, project: ProjectLike | None, **filters: Any) -> Pages[DatasetOut]:
        """List the datasets of a project."""
        path = f"{Projects(self._client).path(project)}/datasets"
        return self._shapes(DatasetOut, path, **filters)

    def _parent(self, dataset: DatasetLike, parent: str | None) -> str | None:
        """Return ``parent`` if given, otherwise the version that ``dataset`` names, if any."""
        if parent is not None:
            return parent
        if isinstance(dataset, DatasetVersionOut):
            return dataset.version
        return (dataset.partition("@")[2] or None) if isinstance(dataset, str) else None

    def _version_path(
        self, dataset: DatasetLike, version: str | None, project: ProjectLike | None
    ) -> str:
        version = self._parent(dataset, version)
        path = self.path(dataset, project)
        if version is None:
            # Read the dataset again: its current version may have changed since the caller read it.
            version = self._read(DatasetOut, self._http.get(path)).version
        return f"{path}/versions/{version}"
