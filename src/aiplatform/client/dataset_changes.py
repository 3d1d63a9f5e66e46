"""Dataset imports by the platform, new versions of existing datasets, and tags."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiplatform.client.base import Resource
from aiplatform.client.dataset_files import DatasetVersion
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.dataset_quality import token_options
from aiplatform.client.dataset_rows import Where, conditions_of
from aiplatform.client.models import ModelLike
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.resumable_uploads import ResumableUploads, file_to_resume
from aiplatform.client.tasks import Task
from aiplatform.client.transfers import ProgressCallback, UploadData, body_of, reading_params
from aiplatform.client.transport import segment
from aiplatform.protocol.shapes.datasets import DatasetOut, TagOut


class DatasetImports(DatasetPaths):
    """The methods of ``client.datasets`` that import rows from other sources.

    Each method queues a task and returns it. ``task.wait()`` waits for it to end; ``task.result``
    then contains ``dataset`` and ``version``. Further options are as in :meth:`import_from`.
    """

    def import_url(self, url: str, **options: Any) -> Task:
        """Import a file from a public URL.

        A secret for ``HTTP_TOKEN`` is sent as a bearer token.
        """
        return self.import_from({"kind": "url", "url": url}, **options)

    def import_s3(
        self, uri: str, *, region: str | None = None, endpoint: str | None = None, **options: Any
    ) -> Task:
        """Import an object in S3, such as ``s3://bucket/key``.

        Args:
            uri: the address of the object.
            region: the region of the bucket; by default ``us-east-1``.
            endpoint: the address of a store other than Amazon's.
            options: ``secrets`` with ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, and the
                other options of :meth:`import_from`.
        """
        source = {"kind": "s3", "uri": uri, "region": region, "endpoint": endpoint}
        return self.import_from({k: v for k, v in source.items() if v is not None}, **options)

    def import_hub(
        self,
        repository: str,
        *,
        revision: str | None = None,
        file: str | None = None,
        subset: str | None = None,
        split: str | None = None,
        **options: Any,
    ) -> Task:
        """Import a dataset's files from the hub that the platform is configured to use.

        Args:
            repository: ``owner/name``.
            revision: a branch, a tag or a commit.
            file: the path of a single file; by default all files of ``split``.
            subset: the name of one of the dataset's configurations.
            split: the name of a split, such as ``train``.
            options: further options of :meth:`import_from`.
        """
        source = {
            "kind": "hub",
            "repository": repository,
            "revision": revision,
            "file": file,
            "subset": subset,
            "split": split,
        }
        return self.import_from({k: v for k, v in source.items() if v is not None}, **options)

    def import_from(
        self,
        source: Mapping[str, Any],
        *,
        name: str | None = None,
        dataset: DatasetLike | None = None,
        project: ProjectLike | None = None,
        format: str | None = None,  # noqa: A002  (the API's name)
        message: str | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        allow_identical: bool = False,
        mode: str | None = None,
        key: str | None = None,
        parent: str | None = None,
        secrets: Mapping[str, str] | None = None,
        **reading: Any,
    ) -> Task:
        """Import rows from one of the sources in :mod:`aiplatform.protocol.dataset_sources`.

        Args:
            source: the source, as a mapping.
            name: the name of the new dataset.
            dataset: an existing dataset to add a version to, instead of ``name``.
            project: the project of the dataset.
            format: the format, if the file name does not show it.
            message: a description of the version.
            base_model: the model whose tokenizer counts the tokens in the quality report.
            max_length: the number of tokens above which the report counts a row as too long.
            allow_identical: commit even if nothing changed.
            mode: how the rows change those of ``dataset``: ``replace``, ``append``, ``upsert``, or
                ``delete``.
            key: the column by which ``upsert`` and ``delete`` match rows.
            parent: the version or tag that the new version is made from. By default, the version
                that ``dataset`` names, or else the version that is current when the rows have been
                fetched.
            secrets: names of stored secrets, keyed by the environment variables that they fill.
            reading: how rows are read; see :class:`~aiplatform.protocol.reading_options.Reading`.
        """
        options = reading_params(reading)
        if "map" in options:
            options["map"] = dict(reading["map"])
        body = {
            "source": dict(source),
            "name": name,
            "dataset": None if dataset is None else str(self.resolve(dataset, project)),
            "format": format,
            "message": message,
            "allow_identical": allow_identical,
            "mode": mode or "replace",
            "key": key,
            "parent": None if dataset is None else self._parent(dataset, parent),
            "secrets": dict(secrets or {}),
            **options,
            **token_options(self._client, base_model, max_length, project),
        }
        path = f"{Projects(self._client).path(project)}/dataset-imports"
        return self._make(Task, self._http.post(path, body))


class DatasetTag(Resource, TagOut):
    """A movable name for a version."""


class DatasetChanges(DatasetPaths):
    """The methods of ``client.datasets`` that make new versions from existing ones.

    The new version is made from ``parent``. By default, that is the version named by the dataset
    argument (``name@v2``, or a :class:`DatasetVersion`), or else the current version.
    """

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
            reading: how rows are read; see :class:`~aiplatform.protocol.reading_options.Reading`.

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
            **token_options(self._client, base_model, max_length, project),
        }
        file = file_to_resume(data, resumable)
        if file is not None:
            head = self._read(DatasetOut, self._http.get(self.path(dataset, project)))
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

    def append(self, dataset: DatasetLike, data: UploadData, **options: Any) -> DatasetVersion:
        """Commit a version with rows added after those of the current version, or of ``parent``.

        Other options are as in :meth:`Datasets.add_version`.
        """
        return self.add_version(dataset, data, mode="append", **options)

    def upsert(
        self, dataset: DatasetLike, data: UploadData, *, key: str, **options: Any
    ) -> DatasetVersion:
        """Commit a version in which rows replace those with the same ``key``; other rows are added.

        Columns that ``data`` lacks keep their values.
        """
        return self.add_version(dataset, data, mode="upsert", key=key, **options)

    def delete_rows(
        self, dataset: DatasetLike, data: UploadData, *, key: str, **options: Any
    ) -> DatasetVersion:
        """Commit a version without the rows whose ``key`` occurs in ``data``."""
        return self.add_version(dataset, data, mode="delete", key=key, **options)

    def patch(
        self,
        dataset: DatasetLike,
        *,
        set: Mapping[int, Mapping[str, Any]] | None = None,  # noqa: A002  (the word of the API)
        add: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[int] = (),
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Commit a version with changes to single rows, given by their positions (from 0).

        Args:
            dataset: the dataset.
            set: new cell values, keyed by the position of the row.
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
        dataset: DatasetLike,
        where: Where,
        *,
        drop: bool = False,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Commit a version with the rows that meet all conditions or, with ``drop``, the others.

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
        dataset: DatasetLike,
        columns: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Commit a version with renamed columns, from which its shape is detected again.

        Args:
            dataset: the dataset.
            columns: new names, keyed by old names, such as ``{"question": "prompt", "answer":
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

    def restore(
        self,
        dataset: DatasetLike,
        version: str,
        *,
        message: str | None = None,
        project: ProjectLike | None = None,
    ) -> DatasetVersion:
        """Commit the rows of an earlier version again, as the next version."""
        body = {"version": version, "message": message}
        return self._version(self._http.post(f"{self.path(dataset, project)}/restore", body))

    def delete_version(
        self, dataset: DatasetLike, version: str, *, project: ProjectLike | None = None
    ) -> None:
        """Delete a version.

        The server refuses to delete a version that a task has read, or that another version was
        made from.
        """
        path = f"{self.path(dataset, project)}/versions/{segment(version)}"
        self._http.request("DELETE", path)

    def tags(self, dataset: DatasetLike, *, project: ProjectLike | None = None) -> list[DatasetTag]:
        """Return the tags of a dataset."""
        found = self._http.get(f"{self.path(dataset, project)}/tags")
        return self._make_all(DatasetTag, found["items"])

    def tag(
        self, dataset: DatasetLike, name: str, version: str, *, project: ProjectLike | None = None
    ) -> list[DatasetTag]:
        """Point a tag to a version, creating it if necessary; return all tags of the dataset."""
        path = f"{self.path(dataset, project)}/tags/{segment(name)}"
        found = self._http.request("PUT", path, json={"version": version}).json()
        return self._make_all(DatasetTag, found["items"])

    def untag(self, dataset: DatasetLike, name: str, *, project: ProjectLike | None = None) -> None:
        """Remove a tag."""
        self._http.request("DELETE", f"{self.path(dataset, project)}/tags/{segment(name)}")

    def _version(self, data: Any) -> DatasetVersion:
        return self._make(DatasetVersion, data)
