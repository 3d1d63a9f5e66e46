"""Datasets that the platform fetches itself: ``import_url``, ``import_s3``, ``import_hub``."""

from collections.abc import Mapping
from typing import Any

from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.dataset_quality import token_options
from aiplatform.client.models import ModelLike
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.reading_options import reading_params
from aiplatform.client.tasks import Task


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
        """Import an object, ``s3://bucket/key``.

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
        """Import a dataset's files from the hub in the platform's settings.

        Args:
            repository: ``owner/name``.
            revision: a branch, a tag or a commit.
            file: the path of a single file; by default all files of ``split``.
            subset: a configuration of the dataset.
            split: such as ``train``.
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
            dataset: an existing dataset that gets a version, instead of ``name``.
            project: the project of the dataset.
            format: the format, if the file name does not show it.
            message: a description of the version.
            base_model: the model whose tokenizer counts the tokens in the quality report.
            max_length: tokens beyond which the report calls a row too long.
            allow_identical: commit even if nothing changed.
            mode: how the rows change those of ``dataset``: ``replace``, ``append``, ``upsert``, or
                ``delete``.
            key: the column by which ``upsert`` and ``delete`` match rows.
            parent: the version or tag that the new version is made from. By default, the version
                that ``dataset`` names, or else the version that is current when the rows have been
                fetched.
            secrets: environment variables, and the names of the stored secrets that fill them.
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
