"""Dataset versions as local files, and conversion to the types of other libraries.

These libraries are imported only when a method needs them: the SDK itself needs none of them.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from aiplatform.client.errors import ClientError
from aiplatform.language import tr

EXTRA = "extra"
"""Member of a chat message that contains its additional members as JSON."""


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

        At most one row group is in memory.
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
