"""Datasets, their versions, rows and quality reports."""

import re
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource, UserRef, as_uuid, only
from aiplatform.client.downloads import download
from aiplatform.client.errors import NotFound, NotReady
from aiplatform.client.models import ModelLike
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.tasks import Task
from aiplatform.client.transfers import ProgressCallback, UploadData, body_of
from aiplatform.client.waiting import poll
from aiplatform.protocol.enums import DatasetStatus
from aiplatform.protocol.specs import DatasetRef


class Dataset(Resource):
    """The head of a dataset: what its current version is."""

    uuid: UUID
    name: str
    project: UUID | None = None
    format: str | None = None
    shape: str | None = None
    version: str | None = None
    status: DatasetStatus = DatasetStatus.UPLOADED
    size: int = 0
    row_count: int = 0
    quality_report: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def refresh(self) -> "Dataset":
        """Read it again."""
        return self.client.datasets.get(self.uuid)

    def wait_ready(self, timeout: float | None = 600.0) -> "Dataset":
        """Wait until the quality report of the current version is there.

        Raises:
            NotReady: when the report could not be made.
            WaitTimeout: after ``timeout`` seconds.
        """
        return self.client.datasets.wait_ready(self, timeout=timeout)

    def add_version(self, data: UploadData, **options: Any) -> "DatasetVersion":
        """Commit a new version, see :meth:`Datasets.add_version`."""
        return self.client.datasets.add_version(self, data, **options)

    def versions(self) -> Pages["DatasetVersion"]:
        """All versions, newest first."""
        return self.client.datasets.versions(self)

    def rows(self, version: str | None = None) -> Pages[dict[str, Any]]:
        """The rows of a version, the current one by default."""
        return self.client.datasets.rows(self, version)

    def report(self, version: str | None = None) -> dict[str, Any]:
        """The quality report of a version, the current one by default."""
        return self.client.datasets.report(self, version)

    def download(self, destination: str | Path = ".", **options: Any) -> Path:
        """Fetch the rows as a file, see :meth:`Datasets.download`."""
        return self.client.datasets.download(self, destination, **options)

    def update(self, **changes: Any) -> "Dataset":
        """Change its name."""
        return self.client.datasets.update(self, **changes)

    def delete(self) -> None:
        """Delete it with all its versions."""
        self.client.datasets.delete(self)


class DatasetVersion(Resource):
    """An immutable commit; hash, size and rows are those of its canonical Parquet file."""

    uuid: UUID
    dataset: UUID
    version: str
    parent: str | None = None
    message: str | None = None
    file_hash: str | None = None
    file_size: int = 0
    row_count: int = 0
    shape: str | None = None
    format: str | None = None
    filename: str | None = None
    columns: list[Any] = []
    author: UserRef | None = None
    created_at: datetime | None = None
    report: dict[str, Any] | None = None


DatasetLike = Dataset | DatasetVersion | UUID | str
"""A dataset or version, a uuid, a name, or ``name@v2``."""


class Datasets(Group):
    """``client.datasets``."""

    def upload(
        self,
        name: str,
        data: UploadData,
        *,
        project: ProjectLike | None = None,
        filename: str | None = None,
        format: str | None = None,  # noqa: A002  (the word of the API)
        message: str | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Dataset:
        """Create a dataset from a file, an open file, bytes or rows, streamed as they are read.

        Args:
            name: what to call it.
            data: a path, bytes, a file opened for reading bytes, or an iterable of rows.
            project: where it belongs.
            filename: tells the format by its ending, when ``data`` has no name of its own.
            format: one of ``jsonl``, ``json``, ``csv``, ``tsv``, ``parquet``, ``text``.
            message: what this first version is.
            base_model: whose tokenizer counts the tokens in the quality report.
            max_length: tokens beyond which the report calls a row too long.
            progress: called with bytes done and bytes in all.
        """
        body = body_of(data, progress)
        params = {
            "name": name,
            "filename": filename or body.filename or f"{name}.jsonl",
            "format": format,
            "message": message,
            **self._counting(base_model, max_length, project),
        }
        path = f"{self._client.projects.path(project)}/datasets"
        return self._make(Dataset, self._http.upload("POST", path, body, params=params))

    def add_version(
        self,
        dataset: DatasetLike,
        data: UploadData,
        *,
        project: ProjectLike | None = None,
        filename: str | None = None,
        format: str | None = None,  # noqa: A002
        message: str | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        progress: ProgressCallback | None = None,
        allow_identical: bool = False,
    ) -> DatasetVersion:
        """Commit a new version of a dataset; arguments as in :meth:`upload`.

        Raises:
            Conflict: when the rows are those of the current version, unless ``allow_identical``.
        """
        body = body_of(data, progress)
        params = {
            "filename": filename or body.filename or "rows.jsonl",
            "format": format,
            "message": message,
            "allow_identical": allow_identical or None,
            **self._counting(base_model, max_length, project),
        }
        path = f"{self.path(dataset, project)}/versions"
        return self._make(DatasetVersion, self._http.upload("POST", path, body, params=params))

    def get(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> Dataset:
        """Read one, by uuid or by name in a project."""
        return self._get(Dataset, self.path(dataset, project))

    def update(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Dataset:
        """Change its name."""
        return self._patch(Dataset, self.path(dataset, project), dataset, changes)

    def delete(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> None:
        """Delete it with all its versions."""
        self._http.request("DELETE", self.path(dataset, project))

    def wait_ready(
        self,
        dataset: DatasetLike,
        *,
        project: ProjectLike | None = None,
        timeout: float | None = 600.0,
    ) -> Dataset:
        """Wait for the quality report of the current version."""
        path = self.path(dataset, project)
        waiting = {DatasetStatus.UPLOADED, DatasetStatus.PROCESSING}
        ready = poll(
            lambda: self._get(Dataset, path),
            lambda seen: seen.status not in waiting,
            timeout=timeout,
            what="the quality report was not there",
        )
        if ready.status is DatasetStatus.FAILED:
            raise NotReady(f"the quality report of {ready.name} {ready.version} could not be made")
        return ready

    def versions(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None
    ) -> Pages[DatasetVersion]:
        """All versions, newest first."""
        return self._pages(DatasetVersion, f"{self.path(dataset, project)}/versions")

    def version(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Read one version, the current one by default."""
        return self._get(DatasetVersion, self._version_path(dataset, version, project))

    def rows(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> Pages[dict[str, Any]]:
        """The rows of a version, the current one by default."""
        path = f"{self._version_path(dataset, version, project)}/rows"
        return Pages(lambda cursor, limit: self._http.get(path, cursor=cursor, limit=limit), dict)

    def report(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """The quality report of a version, the current one by default."""
        report = self._http.get(f"{self._version_path(dataset, version, project)}/report")
        return dict(report or {})

    def check(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
    ) -> Task:
        """Make the quality report of a version again, for another base model or length."""
        path = f"{self._version_path(dataset, version, project)}/quality"
        return self._make(
            Task, self._http.post(path, self._counting(base_model, max_length, project))
        )

    def download(
        self,
        dataset: DatasetLike,
        destination: str | Path = ".",
        *,
        version: str | None = None,
        format: str = "jsonl",  # noqa: A002
        project: ProjectLike | None = None,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Fetch a version as ``jsonl``, ``parquet`` or in its ``original`` bytes.

        Returns:
            The file: ``destination``, or one in it when that is a directory.
        """
        read = self.version(dataset, version, project=project)
        target = Path(destination)
        if target.is_dir():
            ending = format
            if format == "original":
                ending = Path(read.filename or "").suffix.lstrip(".") or str(read.format or "data")
            head = self._get(Dataset, f"datasets/{read.dataset}")
            target /= f"{_file_name(head.name)}-{read.version}.{ending}"
        return download(
            self._http,
            f"datasets/{read.dataset}/versions/{read.version}/content",
            target,
            params={"format": format},
            sha256=read.file_hash if format == "parquet" else None,
            progress=progress,
        )

    def reference(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> DatasetRef:
        """What a task spec says for it; a dataset without version means its current one."""
        if isinstance(dataset, DatasetVersion):
            return DatasetRef(dataset=dataset.dataset, version=dataset.version)
        version = dataset.partition("@")[2] if isinstance(dataset, str) else ""
        return DatasetRef(dataset=self.resolve(dataset, project), version=version or None)

    def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str:
        """Where the dataset lives in the API."""
        return f"datasets/{self.resolve(dataset, project)}"

    def resolve(self, dataset: DatasetLike, project: ProjectLike | None = None) -> UUID:
        """The uuid that is meant.

        Raises:
            NotFound: when no dataset of the project has the name.
        """
        if isinstance(dataset, Dataset):
            return dataset.uuid
        if isinstance(dataset, DatasetVersion):
            return dataset.dataset
        name = str(dataset).partition("@")[0]
        uuid = as_uuid(dataset) or as_uuid(name)
        if uuid is not None:
            return uuid
        pages = partial(self.list, project=project)
        return only(pages, name, "dataset", "in this project").uuid

    def find(self, name: str, *, project: ProjectLike | None = None) -> Dataset | None:
        """The dataset of that name in a project, or ``None``."""
        try:
            return self.get(name, project=project)
        except NotFound:
            return None

    def _version_path(
        self, dataset: DatasetLike, version: str | None, project: ProjectLike | None
    ) -> str:
        if version is None and isinstance(dataset, str):
            version = dataset.partition("@")[2] or None
        if version is None and isinstance(dataset, DatasetVersion):
            version = dataset.version
        path = self.path(dataset, project)
        if version is None:
            # Of a head that was read a while ago, the current version may be another by now.
            version = self._get(Dataset, path).version
        return f"{path}/versions/{version}"

    def _counting(
        self, base_model: ModelLike | None, max_length: int | None, project: ProjectLike | None
    ) -> dict[str, Any]:
        """How the quality report shall count tokens."""
        counting: dict[str, Any] = {}
        if base_model is not None:
            counting["base_model"] = str(self._client.models.resolve(base_model, project))
        if max_length is not None:
            counting["max_length"] = max_length
        return counting

    def list(self, *, project: ProjectLike | None = None, **filters: Any) -> Pages[Dataset]:
        """All datasets of a project."""
        path = f"{self._client.projects.path(project)}/datasets"
        return self._pages(Dataset, path, **filters)


def _file_name(name: str) -> str:
    """``name`` without what could leave the directory."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "dataset"
