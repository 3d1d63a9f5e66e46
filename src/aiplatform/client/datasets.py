"""Datasets, their versions, rows and quality reports."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Resource, as_uuid, find_by_name, purge_time
from aiplatform.client.dataset_changes import DatasetChanges
from aiplatform.client.dataset_files import DatasetFiles
from aiplatform.client.dataset_imports import DatasetImports
from aiplatform.client.dataset_quality import DatasetQuality
from aiplatform.client.dataset_rows import DatasetRows
from aiplatform.client.errors import ApiError, NotFound, NotReady
from aiplatform.client.local_dataset import PullMixin
from aiplatform.client.models import ModelLike
from aiplatform.client.pages import Pages
from aiplatform.client.partial_uploads import PartialUploads
from aiplatform.client.polling import WaitingReasonReporter, poll
from aiplatform.client.projects import ProjectLike
from aiplatform.client.reading_options import reading_params
from aiplatform.client.resumable_uploads import ResumableUploads, file_to_resume
from aiplatform.client.task_events import TaskEvent
from aiplatform.client.transfers import ProgressCallback, UploadData, body_of
from aiplatform.language import tr
from aiplatform.protocol.enums import DatasetStatus, TaskStatus, TaskType
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut

_REPORTS_SEARCHED = 50
"""Number of pending report tasks, newest first, among which that of a dataset is searched."""


class Dataset(PullMixin, Resource, DatasetOut):
    """A dataset, with the facts about its current version."""

    def refresh(self) -> "Dataset":
        """Read the dataset again."""
        return self.client.datasets.get(self.uuid)

    def wait_ready(
        self,
        timeout: float | None = 600.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Dataset":
        """Wait for the quality report of the current version, see :meth:`Datasets.wait_ready`."""
        return self.client.datasets.wait_ready(self, timeout=timeout, on_event=on_event)

    def add_version(self, data: UploadData, **options: Any) -> "DatasetVersion":
        """Commit a new version, see :meth:`Datasets.add_version`."""
        return self.client.datasets.add_version(self, data, **options)

    def versions(self, *, limit: int | None = None) -> Pages["DatasetVersion"]:
        """List all versions, newest first."""
        return self.client.datasets.versions(self, limit=limit)

    def rows(
        self, version: str | None = None, *, limit: int | None = None
    ) -> Pages[dict[str, Any]]:
        """List the rows of a version, by default of the current one."""
        return self.client.datasets.rows(self, version, limit=limit)

    def report(self, version: str | None = None) -> dict[str, Any]:
        """Return the quality report of a version, by default of the current one."""
        return self.client.datasets.report(self, version)

    def download(self, destination: str | Path = ".", **options: Any) -> Path:
        """Download the rows as a file, see :meth:`Datasets.download`."""
        return self.client.datasets.download(self, destination, **options)

    def update(self, **changes: Any) -> "Dataset":
        """Change the name of the dataset."""
        return self.client.datasets.update(self, **changes)

    def delete(self) -> datetime | None:
        """Delete the dataset with all its versions. Return until when it can be restored."""
        return self.client.datasets.delete(self)


class DatasetVersion(PullMixin, Resource, DatasetVersionOut):
    """An immutable version of a dataset; hash, size and rows are of its canonical Parquet file."""


DatasetLike = Dataset | DatasetVersion | UUID | str
"""A dataset or version, a uuid, a name, or ``name@v2``."""


class Datasets(
    DatasetChanges, DatasetFiles, DatasetImports, DatasetQuality, DatasetRows, PartialUploads
):
    """The operations on datasets (``client.datasets``)."""

    def upload(
        self,
        name: str,
        data: UploadData,
        *,
        project: ProjectLike | None = None,
        filename: str | None = None,
        format: str | None = None,  # noqa: A002  (the API's name)
        message: str | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        progress: ProgressCallback | None = None,
        resumable: bool | None = None,
        **reading: Any,
    ) -> Dataset:
        """Create a dataset from a file, an open file, bytes, a table or rows.

        Args:
            name: the name of the dataset.
            data: a path, bytes, a file opened for reading bytes, a DataFrame of pandas or Polars,
                an Arrow table, a ``datasets.Dataset``, or an iterable of rows. The index of a
                pandas DataFrame is kept, as a column, only if it has a name.
            project: the project of the dataset; by default the client's.
            filename: a name whose ending shows the format, if ``data`` has no name of its own.
            format: a :class:`~aiplatform.protocol.enums.DataFormat`, if the file name is
                misleading.
            message: a description of the first version.
            base_model: the model whose tokenizer counts the tokens in the quality report.
            max_length: tokens beyond which the report calls a row too long.
            progress: called with the bytes that are sent and the bytes in total.
            resumable: send a file in pieces, so that a broken connection costs only one of them,
                and the same call continues the upload within a day. By default for files of 64 MiB
                and more.
            reading: how rows are read, see :class:`~aiplatform.protocol.reading_options.Reading`.
        """
        body = body_of(data, progress)
        params = {
            "name": name,
            "filename": filename or body.filename or f"{name}.jsonl",
            "format": format,
            "message": message,
            **reading_params(reading),
            **self._token_options(base_model, max_length, project),
        }
        home = self._client.projects.path(project)
        file = file_to_resume(data, resumable)
        if file is not None:
            sender = ResumableUploads(self._client)
            made = sender.send_file(home, file, params, progress=progress)
            return self._get(Dataset, f"datasets/{made['dataset']}")
        path = f"{home}/datasets"
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
        mode: str | None = None,
        key: str | None = None,
        parent: str | None = None,
        resumable: bool | None = None,
        **reading: Any,
    ) -> DatasetVersion:
        """Commit a new version of a dataset; further arguments are as in :meth:`upload`.

        Args:
            dataset: the dataset.
            data: the rows, as in :meth:`upload`.
            project: the project in which to look up a name.
            filename: as in :meth:`upload`.
            format: as in :meth:`upload`.
            message: a description of the version.
            base_model: as in :meth:`upload`.
            max_length: as in :meth:`upload`.
            progress: as in :meth:`upload`.
            allow_identical: commit even if nothing changed.
            mode: how the rows change those of the parent: ``replace``, ``append``, ``upsert``, or
                ``delete``.
            key: the column by which ``upsert`` and ``delete`` match rows.
            parent: the version or tag that the new version is made from. By default, the version
                that ``dataset`` names, or else the current one.
            resumable: as in :meth:`upload`.
            reading: how rows are read, see :class:`~aiplatform.protocol.reading_options.Reading`.

        Raises:
            Conflict: if the rows equal those of the current version, unless ``allow_identical``.
        """
        body = body_of(data, progress)
        params = {
            "filename": filename or body.filename or "rows.jsonl",
            "format": format,
            "message": message,
            "allow_identical": allow_identical or None,
            "mode": mode,
            "key": key,
            "parent": self._parent(dataset, parent),
            **reading_params(reading),
            **self._token_options(base_model, max_length, project),
        }
        file = file_to_resume(data, resumable)
        if file is not None:
            head = self._get(Dataset, self.path(dataset, project))
            made = ResumableUploads(self._client).send_file(
                f"projects/{head.project}",
                file,
                {**params, "dataset": str(head.uuid)},
                progress=progress,
            )
            return self._get(
                DatasetVersion, f"datasets/{made['dataset']}/versions/{made['version']}"
            )
        path = f"{self.path(dataset, project)}/versions"
        return self._make(DatasetVersion, self._http.upload("POST", path, body, params=params))

    def get(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> Dataset:
        """Read a dataset, by uuid or by its name in a project."""
        return self._get(Dataset, self.path(dataset, project))

    def update(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Dataset:
        """Change the name of the dataset."""
        return self._patch(Dataset, self.path(dataset, project), dataset, changes)

    def delete(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None
    ) -> datetime | None:
        """Delete the dataset with all its versions. Return until when it can be restored."""
        if self._parent(dataset, None) is not None:
            raise ValueError("this deletes all versions; delete_version() deletes one")
        return purge_time(self._http.request("DELETE", self.path(dataset, project)))

    def wait_ready(
        self,
        dataset: DatasetLike,
        *,
        project: ProjectLike | None = None,
        timeout: float | None = 600.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> Dataset:
        """Wait for the quality report of the current version.

        Args:
            dataset: the dataset.
            project: the project in which to look up a name.
            timeout: seconds to wait at most; None waits as long as the report is being made.
            on_event: called with an event of kind ``waiting`` if something keeps the report's task
                from starting.

        Raises:
            NotReady: if the report failed, or its task was cancelled.
            WaitTimeout: after ``timeout`` seconds; the task continues.
        """
        path = self.path(dataset, project)
        reasons = WaitingReasonReporter(self._client, on_event)

        def fetch() -> Dataset:
            found = self._get(Dataset, path)
            if reasons.wanted and found.status is DatasetStatus.PROCESSING:
                reasons.report(self._find_pending_report(found))
            return found

        ready = poll(
            fetch,
            lambda found: found.status is not DatasetStatus.PROCESSING,
            timeout=timeout,
            what=tr("the quality report was not ready"),
        )
        if ready.status is DatasetStatus.FAILED:
            raise NotReady(
                tr(
                    "the quality report of {name} {version} could not be made",
                    name=ready.name,
                    version=ready.version,
                )
            )
        if ready.status is DatasetStatus.UPLOADED:
            raise NotReady(
                tr(
                    "no quality report of {name} {version} is being made: its task was cancelled",
                    name=ready.name,
                    version=ready.version,
                ),
                hint=tr("`aiplatform datasets check {name:quoted}` creates one.", name=ready.name),
            )
        return ready

    def _find_pending_report(self, dataset: Dataset) -> UUID | None:
        """Return the pending task that will make the dataset's report, or None.

        None is also returned if the user may not read tasks.
        """
        queued = self._client.tasks.list(
            project=dataset.project, type=TaskType.DATA_QUALITY, status=TaskStatus.PENDING
        )
        try:
            for task in islice(queued, _REPORTS_SEARCHED):
                if task.config.get("dataset", {}).get("dataset") == str(dataset.uuid):
                    return task.uuid
        except ApiError:
            # A user without permission to read tasks waits without a reason.
            return None
        return None

    def versions(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[DatasetVersion]:
        """List all versions, newest first."""
        return self._pages(DatasetVersion, f"{self.path(dataset, project)}/versions", limit=limit)

    def version(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Read one version, the current one by default."""
        return self._get(DatasetVersion, self._version_path(dataset, version, project))

    def reference(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> DatasetRef:
        """Return the reference for a task spec; without a version, it means the current one."""
        return DatasetRef(
            dataset=self.resolve(dataset, project), version=self._parent(dataset, None)
        )

    def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str:
        """Return the path of the dataset in the API."""
        return f"datasets/{self.resolve(dataset, project)}"

    def resolve(self, dataset: DatasetLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of a dataset."""
        if isinstance(dataset, Dataset):
            return dataset.uuid
        if isinstance(dataset, DatasetVersion):
            return dataset.dataset
        name = str(dataset).partition("@")[0]
        uuid = as_uuid(dataset) or as_uuid(name)
        if uuid is not None:
            return uuid
        pages = partial(self.list, project=project)
        return find_by_name(pages, name, "dataset", "in this project").uuid

    def find(self, name: str, *, project: ProjectLike | None = None) -> Dataset | None:
        """Return the dataset with this name in a project, or ``None``."""
        try:
            return self.get(name, project=project)
        except NotFound:
            return None

    def _parent(self, dataset: DatasetLike, parent: str | None) -> str | None:
        """Return ``parent`` if given, else the version that ``dataset`` names, else None."""
        if parent is not None:
            return parent
        if isinstance(dataset, DatasetVersion):
            return dataset.version
        return (dataset.partition("@")[2] or None) if isinstance(dataset, str) else None

    def _version_path(
        self, dataset: DatasetLike, version: str | None, project: ProjectLike | None
    ) -> str:
        version = self._parent(dataset, version)
        path = self.path(dataset, project)
        if version is None:
            # Read the dataset again: its current version may have changed since the caller read it.
            version = self._get(Dataset, path).version
        return f"{path}/versions/{version}"

    def _token_options(
        self, base_model: ModelLike | None, max_length: int | None, project: ProjectLike | None
    ) -> dict[str, Any]:
        """Return the parameters that say how the quality report counts tokens."""
        counting: dict[str, Any] = {}
        if base_model is not None:
            counting["base_model"] = str(self._client.models.resolve(base_model, project))
        if max_length is not None:
            counting["max_length"] = max_length
        return counting

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Dataset]:
        """List the datasets of a project."""
        path = f"{self._client.projects.path(project)}/datasets"
        return self._pages(Dataset, path, limit=limit, **filters)
