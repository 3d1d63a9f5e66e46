"""A version of a dataset as a file on this machine, and as what other libraries call data.

Those libraries are imported when they are asked for: the SDK needs none of them.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiplatform.client.errors import ClientError
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client.client import Client

EXTRA = "extra"
"""The member of a message that holds what else it had, as JSON."""


@dataclass(frozen=True)
class LocalDataset(os.PathLike[str]):
    """A version as a Parquet file, verified; it stands for its path.

    ``datasets.load_dataset("parquet", data_files=str(found))`` and whatever else reads Parquet
    takes it. Nested values are JSON text in it; :meth:`iter_batches` gives them as they were.

    Attributes:
        path: the file. In the cache it is read-only, and may go when the cache is full.
        version: its label.
        file_hash: SHA-256.
        file_size: in bytes.
        fetched: how many bytes travelled; the rest was here.
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
        """A ``polars.DataFrame``; options are those of ``polars.read_parquet``."""
        return _needed("polars", "to_polars").read_parquet(self.path, **options)

    def to_arrow(self, **options: Any) -> Any:
        """A ``pyarrow.Table``; options are those of ``pyarrow.parquet.read_table``."""
        return _needed("pyarrow.parquet", "to_arrow").read_table(self.path, **options)

    def to_pandas(self, **options: Any) -> Any:
        """A ``pandas.DataFrame``; options are those of ``pandas.read_parquet``."""
        _needed("pyarrow", "to_pandas")
        return _needed("pandas", "to_pandas").read_parquet(self.path, **options)

    def to_hf(self, **options: Any) -> Any:
        """A ``datasets.Dataset``; options are those of ``datasets.Dataset.from_parquet``."""
        return _needed("datasets", "to_hf").Dataset.from_parquet(str(self.path), **options)

    def iter_batches(self, count: int = 1000) -> Iterator[list[dict[str, Any]]]:
        """The rows as they were uploaded, ``count`` at a time; in memory is one row group."""
        parquet = _needed("pyarrow.parquet", "iter_batches")
        if count < 1:
            raise ValueError("a batch has at least one row")
        return self._batches(parquet, count)

    def _batches(self, parquet: Any, count: int) -> Iterator[list[dict[str, Any]]]:
        ready: list[dict[str, Any]] = []
        with parquet.ParquetFile(self.path) as file:
            metadata = file.schema_arrow.metadata or {}
            nested = json.loads(metadata.get(b"aiplatform.json", b"[]"))
            for batch in file.iter_batches(min(count, 8192)):
                ready += [_as_uploaded(row, nested) for row in batch.to_pylist()]
                while len(ready) >= count:
                    yield ready[:count]
                    del ready[:count]
        if ready:
            yield ready


class Pullable:
    """What can be fetched as a :class:`LocalDataset`: datasets and their versions."""

    if TYPE_CHECKING:

        @property
        def client(self) -> Client: ...

    def pull(self, to: str | os.PathLike[str] | None = None, **options: Any) -> LocalDataset:
        """Fetch it into the cache, or to a place; see :meth:`Datasets.pull`."""
        me: Any = self
        return self.client.datasets.pull(me, to=to, **options)

    def to_polars(self, **options: Any) -> Any:
        """Its rows as a ``polars.DataFrame``."""
        return self.pull().to_polars(**options)

    def to_arrow(self, **options: Any) -> Any:
        """Its rows as a ``pyarrow.Table``."""
        return self.pull().to_arrow(**options)

    def to_pandas(self, **options: Any) -> Any:
        """Its rows as a ``pandas.DataFrame``."""
        return self.pull().to_pandas(**options)

    def to_hf(self, **options: Any) -> Any:
        """Its rows as a ``datasets.Dataset``."""
        return self.pull().to_hf(**options)

    def iter_batches(self, count: int = 1000) -> Iterator[list[dict[str, Any]]]:
        """Its rows as they were uploaded, ``count`` at a time."""
        return self.pull().iter_batches(count)


def _as_uploaded(row: dict[str, Any], nested: list[str]) -> dict[str, Any]:
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


def _needed(module: str, method: str) -> Any:
    """A library that is there only where somebody installed it.

    Raises:
        ClientError: saying what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        refused = ClientError(
            tr(
                "{method}() needs the package {package}, which is not here",
                method=method,
                package=package,
            )
        )
        refused.hint = tr("Install it: pip install {package}", package=package)
        raise refused from error
