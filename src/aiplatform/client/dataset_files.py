"""Dataset versions as files or as objects of other libraries, and the storage they use."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from aiplatform.client.base import Connection, Resource
from aiplatform.client.data_cache import DataCache
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.downloads import download
from aiplatform.client.errors import ClientError, UnexpectedAnswer
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transfers import AtomicFile, ProgressCallback
from aiplatform.language import tr
from aiplatform.protocol.names import MAX_NAME_BYTES
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut
from aiplatform.protocol.storage import Collected, DatasetStorage, StorageReport, VersionParts

EXTRA = "extra"
"""The key under which a chat message stores its additional keys as JSON."""


@dataclass(frozen=True)
class LocalDataset(os.PathLike[str]):
    """A dataset version as a verified Parquet file; usable wherever a path is accepted.

    For example, ``datasets.load_dataset("parquet", data_files=str(found))`` reads it. Nested values
    are stored as JSON text; :meth:`iter_batches` converts them back.

    Attributes:
        path: the file. In the cache it is read-only, and it is deleted if the cache needs the
            space.
        version: the label of the version.
        file_hash: the SHA-256 of the file, in hexadecimal.
        file_size: the size in bytes.
        fetched: the number of bytes downloaded; the rest was in the cache.
    """

    path: Path
    version: str
    file_hash: str
    file_size: int
    fetched: int

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def to_polars(self, **options: Any) -> Any:
        """Return a ``polars.DataFrame``; options are passed to ``polars.read_parquet``."""
        return _import_optional("polars", "to_polars").read_parquet(self.path, **options)

    def to_arrow(self, **options: Any) -> Any:
        """Return a ``pyarrow.Table``; options are passed to ``pyarrow.parquet.read_table``."""
        return _import_optional("pyarrow.parquet", "to_arrow").read_table(self.path, **options)

    def to_pandas(self, **options: Any) -> Any:
        """Return a ``pandas.DataFrame``; options are passed to ``pandas.read_parquet``."""
        _import_optional("pyarrow", "to_pandas")
        return _import_optional("pandas", "to_pandas").read_parquet(self.path, **options)

    def to_hf(self, **options: Any) -> Any:
        """Return a ``datasets.Dataset``; options go to ``datasets.Dataset.from_parquet``."""
        return _import_optional("datasets", "to_hf").Dataset.from_parquet(str(self.path), **options)

    def iter_batches(self, count: int = 1000) -> Iterator[list[dict[str, Any]]]:
        """Return an iterator over the rows as they were uploaded, in lists of ``count`` rows.

        Only one row group is in memory at a time.
        """
        parquet = _import_optional("pyarrow.parquet", "iter_batches")
        if count < 1:
            raise ValueError("a batch has at least one row")
        return self._batches(parquet, count)

    def _batches(self, parquet: Any, count: int) -> Iterator[list[dict[str, Any]]]:
        ready: list[dict[str, Any]] = []
        with parquet.ParquetFile(self.path) as file:
            metadata = file.schema_arrow.metadata or {}
            nested = json.loads(metadata.get(b"aiplatform.json", b"[]"))
            for batch in file.iter_batches(min(count, 8192)):
                ready += [_restore_nested(row, nested) for row in batch.to_pylist()]
                while len(ready) >= count:
                    yield ready[:count]
                    del ready[:count]
        if ready:
            yield ready


def _restore_nested(row: dict[str, Any], nested: list[str]) -> dict[str, Any]:
    for name in nested:
        if row[name] is not None:
            row[name] = json.loads(row[name])
    for value in row.values():
        if isinstance(value, list) and value and isinstance(value[0], dict) and EXTRA in value[0]:
            for message in value:
                extra = message.pop(EXTRA, None)
                if extra is not None:
                    message.update(json.loads(extra))
    return row


def _import_optional(module: str, method: str) -> Any:
    """Import an optional library.

    Raises:
        ClientError: if it is not installed; the hint says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        refused = ClientError(
            tr(
                "{method}() needs the package {package}, which is not installed",
                method=method,
                package=package,
            )
        )
        refused.hint = tr("Install it: pip install {package}", package=package)
        raise refused from error


_COPY_BYTES = 1 << 20


class DatasetFiles(DatasetPaths):
    """The methods of ``client.datasets`` that work with files."""

    def download(
        self,
        dataset: DatasetLike,
        destination: str | Path = ".",
        *,
        version: str | None = None,
        format: str = "jsonl",  # noqa: A002  (the API's name)
        project: ProjectLike | None = None,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Download a version as ``jsonl``, ``csv``, ``parquet``, ``original`` or ``quarantine``.

        ``original`` is the uploaded file itself; ``quarantine`` contains the uploaded rows that
        could not be read.

        Returns:
            The path of the written file: ``destination`` or, if that is a directory, a file in it.
        """
        path = self._version_path(dataset, version, project)
        read = self._read(DatasetVersionOut, self._http.get(path))
        target = Path(destination)
        if target.is_dir():
            ending = format
            if format == "original":
                ending = Path(read.filename or "").suffix.lstrip(".") or str(read.format or "data")
            elif format == "quarantine":
                ending = "quarantine.jsonl"
            target /= f"{_file_name(self._name_of(read.dataset))}-{read.version}.{ending}"
        return download(
            self._http,
            f"datasets/{read.dataset}/versions/{read.version}/content",
            target,
            params={"format": format},
            sha256=read.file_hash if format == "parquet" else None,
            progress=progress,
        )

    def pull(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        to: str | os.PathLike[str] | None = None,
        project: ProjectLike | None = None,
        progress: ProgressCallback | None = None,
        cache: DataCache | None = None,
    ) -> LocalDataset:
        """Return a version as a Parquet file on this machine, verified by its hash.

        The file is kept in the cache (``AIPLATFORM_CACHE``, at most ``AIPLATFORM_CACHE_GB``), where
        the next call finds it. If a similar version is in the cache, only the parts that differ are
        downloaded. An interrupted download continues where it stopped. Several programs may pull at
        the same time.

        Args:
            dataset: a dataset, a version, or a name, such as ``faq``, ``faq@v3`` or ``faq@prod``.
            version: a label or tag; by default the current version.
            to: a directory or file to copy the file to.
            project: the project in which to look up a name.
            progress: called with the bytes done and the total bytes.
            cache: a cache to use instead of the default one.

        Raises:
            CorruptDownload: if the received file's hash differs from the one announced by the
                server.
        """
        path = self._version_path(dataset, version, project)
        data = self._http.get(f"{path}/parts")
        try:
            wanted = VersionParts.model_validate(data)
        except ValueError as error:
            raise UnexpectedAnswer(
                tr("the server's description of the parts of {path} can't be read", path=path)
            ) from error
        # Use the label, because a tag may be moved in the meantime.
        content = f"datasets/{wanted.dataset}/versions/{wanted.version}/content"
        found = (cache or DataCache()).get(self._http, content, wanted, progress)
        place = found.path
        if to is not None:
            place = Path(to)
            if place.is_dir() or str(to).endswith(("/", os.sep)):
                name = _file_name(self._name_of(wanted.dataset))
                place /= f"{name}-{wanted.version}.parquet"
            with AtomicFile(place) as copy, found.path.open("rb") as source:
                while chunk := source.read(_COPY_BYTES):
                    copy.write(chunk)
                copy.commit()
        return LocalDataset(
            place, wanted.version, wanted.file_hash, wanted.file_size, found.fetched
        )

    def _name_of(self, dataset: UUID) -> str:
        return self._read(DatasetOut, self._http.get(f"datasets/{dataset}")).name

    def storage(self, project: ProjectLike | None = None) -> StorageReport:
        """Return the storage used by a project's datasets, in bytes.

        ``logical`` is the size of the files as downloaded, ``charged`` counts towards the quota,
        and ``stored`` counts shared data only once.
        """
        path = f"{Projects(self._client).path(project)}/datasets/storage"
        return StorageReport.model_validate(self._http.get(path))

    def storage_of(
        self, dataset: DatasetLike, *, project: ProjectLike | None = None
    ) -> DatasetStorage:
        """Return the storage used by each version of a dataset, in bytes."""
        return DatasetStorage.model_validate(
            self._http.get(f"{self.path(dataset, project)}/storage")
        )

    def gc(self, *, dry_run: bool = False) -> Collected:
        """Run garbage collection on the platform's blob store; for administrators.

        Files that nothing has referred to for a day are marked. Files that were marked at least an
        hour ago are deleted. Workers do the same periodically.

        Args:
            dry_run: change nothing; return the amounts that would be marked and deleted.
        """
        return Collected.model_validate(self._http.post("storage/gc", {"dry_run": dry_run}))


class PullMixin:
    """A resource that can be fetched as a :class:`LocalDataset`: a dataset or a version."""

    _client: Connection

    def pull(self, to: str | os.PathLike[str] | None = None, **options: Any) -> LocalDataset:
        """Download the version to the cache or to a given location; see :meth:`Datasets.pull`."""
        return DatasetFiles(self._client).pull(cast("DatasetLike", self), to=to, **options)

    def to_polars(self, **options: Any) -> Any:
        """Return the rows as a ``polars.DataFrame``."""
        return self.pull().to_polars(**options)

    def to_arrow(self, **options: Any) -> Any:
        """Return the rows as a ``pyarrow.Table``."""
        return self.pull().to_arrow(**options)

    def to_pandas(self, **options: Any) -> Any:
        """Return the rows as a ``pandas.DataFrame``."""
        return self.pull().to_pandas(**options)

    def to_hf(self, **options: Any) -> Any:
        """Return the rows as a ``datasets.Dataset``."""
        return self.pull().to_hf(**options)

    def iter_batches(self, count: int = 1000) -> Iterator[list[dict[str, Any]]]:
        """Return an iterator over the rows as they were uploaded, in lists of ``count`` rows."""
        return self.pull().iter_batches(count)


class DatasetVersion(PullMixin, Resource, DatasetVersionOut):
    """An immutable version of a dataset; hash, size and row count refer to its Parquet file."""


def _file_name(name: str) -> str:
    """Return ``name`` as a file name that can't leave the directory and is not too long."""
    plain = re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "dataset"
    return plain.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
