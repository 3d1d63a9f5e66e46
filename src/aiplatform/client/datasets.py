"""Datasets, their versions, rows and quality reports."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from aiplatform.client.base import Pages, Resource, purge_time
from aiplatform.client.dataset_changes import DatasetChanges, DatasetImports
from aiplatform.client.dataset_files import DatasetFiles, DatasetVersion, PullMixin
from aiplatform.client.dataset_paths import DatasetLike
from aiplatform.client.dataset_quality import DatasetQuality, token_options
from aiplatform.client.dataset_rows import DatasetRows
from aiplatform.client.errors import ApiError, NotFound, NotReady
from aiplatform.client.models import ModelLike
from aiplatform.client.polling import WaitingReasonReporter, poll
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.resumable_uploads import PartialUploads, ResumableUploads, file_to_resume
from aiplatform.client.tasks import TaskEvent, Tasks
from aiplatform.client.transfers import ProgressCallback, UploadData, body_of, reading_params
from aiplatform.language import tr
from aiplatform.protocol.enums import DatasetStatus, TaskStatus, TaskType
from aiplatform.protocol.shapes.datasets import DatasetOut

_REPORTS_SEARCHED = 50
"""Number of pending report tasks, newest first, that are searched for a dataset's task."""


class Dataset(PullMixin, Resource, DatasetOut):
    """A dataset, with information about its current version."""

    def refresh(self) -> "Dataset":
        """Read the dataset again."""
        return Datasets(self._client).get(self.uuid)

    def wait_ready(
        self,
        timeout: float | None = 600.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Dataset":
        """Wait for the quality report of the current version; see :meth:`Datasets.wait_ready`."""
        return Datasets(self._client).wait_ready(self, timeout=timeout, on_event=on_event)

    def add_version(self, data: UploadData, **options: Any) -> DatasetVersion:
        """Commit a new version; see :meth:`Datasets.add_version`."""
        return Datasets(self._client).add_version(self, data, **options)

    def versions(self, *, limit: int | None = None) -> Pages[DatasetVersion]:
        """List all versions, newest first."""
        return Datasets(self._client).versions(self, limit=limit)

    def rows(
        self, version: str | None = None, *, limit: int | None = None
    ) -> Pages[dict[str, Any]]:
        """List the rows of a version, by default of the current one."""
        return Datasets(self._client).rows(self, version, limit=limit)

    def report(self, version: str | None = None) -> dict[str, Any]:
        """Return the quality report of a version, by default of the current one."""
        return Datasets(self._client).report(self, version)

    def download(self, destination: str | Path = ".", **options: Any) -> Path:
        """Download the rows as a file; see :meth:`Datasets.download`."""
        return Datasets(self._client).download(self, destination, **options)

    def update(self, **changes: Any) -> "Dataset":
        """Change the name of the dataset."""
        return Datasets(self._client).update(self, **changes)

    def delete(self) -> datetime | None:
        """Delete the dataset with all its versions.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
        return Datasets(self._client).delete(self)


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
            filename: a name whose suffix shows the format, if ``data`` has no name.
            format: a :class:`~aiplatform.protocol.enums.DataFormat`, if the file name is
                misleading.
            message: a description of the first version.
            base_model: the model whose tokenizer counts tokens for the quality report.
            max_length: the number of tokens above which the report counts a row as too long.
            progress: called with the bytes sent and the total bytes.
            resumable: send a file in pieces. After a lost connection, only one piece is sent again,
                and within a day the same call continues the upload. By default, this is used for
                files of 64 MiB and more.
            reading: how rows are read; see :class:`~aiplatform.protocol.reading_options.Reading`.
        """
        body = body_of(data, progress)
        params = {
            "name": name,
            "filename": filename or body.filename or f"{name}.jsonl",
            "format": format,
            "message": message,
            **reading_params(reading),
            **token_options(self._client, base_model, max_length, project),
        }
        home = Projects(self._client).path(project)
        file = file_to_resume(data, resumable)
        if file is not None:
            sender = ResumableUploads(self._client)
            made = sender.send_file(home, file, params, progress=progress)
            return self._get(Dataset, f"datasets/{made['dataset']}")
        path = f"{home}/datasets"
        return self._make(Dataset, self._http.upload("POST", path, body, params=params))

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
        """Delete the dataset with all its versions.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
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
            timeout: the maximum number of seconds to wait; None waits until the report is made or
                has failed.
            on_event: called with an event of kind ``waiting`` while the report's task can't start;
                the event says why.

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
        """Return the uuid of the pending task that will make the dataset's report.

        Return None if there is no such task, or if the user may not read tasks.
        """
        queued = Tasks(self._client).list(
            project=dataset.project, type=TaskType.DATA_QUALITY, status=TaskStatus.PENDING
        )
        try:
            for task in islice(queued, _REPORTS_SEARCHED):
                if task.config.get("dataset", {}).get("dataset") == str(dataset.uuid):
                    return task.uuid
        except ApiError:
            # A user who may not read tasks still waits, but does not learn why.
            return None
        return None

    def split(
        self,
        dataset: DatasetLike,
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
    ) -> list[Dataset]:
        """Split the rows into new datasets, one for each fraction, in the order of the fractions.

        Args:
            dataset: the dataset.
            fractions: such as ``{"train": 0.9, "eval": 0.1}``.
            seed: the seed; the same seed always gives the same split.
            stratify: a column whose values should be equally frequent in each part.
            group: a column; rows with equal values in it stay together.
            by: ``question`` keeps all rows with the same question together, whatever the answer;
                ``row`` keeps only equal rows together.
            near: also keep rows together that differ only in a few words.
            names: the names of the new datasets, keyed by part; by default ``DATASET-PART``.
            version: the version or tag to split.
            message: a description of the new versions.
            project: the project in which to look up a name.
        """
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
        """Read a version, by default the current one."""
        return self._get(DatasetVersion, self._version_path(dataset, version, project))

    def find(self, name: str, *, project: ProjectLike | None = None) -> Dataset | None:
        """Return the dataset with this name in a project, or ``None``."""
        try:
            return self.get(name, project=project)
        except NotFound:
            return None

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Dataset]:
        """List the datasets of a project."""
        path = f"{Projects(self._client).path(project)}/datasets"
        return self._pages(Dataset, path, limit=limit, **filters)
