"""Parquet: typed columns, made plain; see :mod:`~aiplatform.data.formats.plain`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.own import Own
from aiplatform.data.formats.plain import BOMB_RATIO, batch_rows, chunks_of
from aiplatform.data.formats.source import Meter
from aiplatform.data.quarantine import Quarantine


class Parquet:
    """Reads a Parquet file.

    Args:
        aside: takes rows with values that are none; without it they are faults.

    Raises:
        MalformedData: it is none, or has columns that no table should have.
    """

    hint = None

    def __init__(self, path: Path, aside: Quarantine | None = None) -> None:
        self.path = path
        self.aside = aside
        try:
            self.file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
            self.schema = self.file.schema_arrow
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise _invalid(error) from error
        check_names(self.schema.names)
        self.own = Own(self.schema)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.path.stat().st_size, BOMB_RATIO)
        first = 1
        batches = self.file.iter_batches(batch_size=self._batch_rows(), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except pa.ArrowMemoryError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise _invalid(error) from error
            if batch is None:
                return
            if batch.num_rows == 0:
                continue
            meter.add(batch.nbytes)
            for chunk in chunks_of(batch, first, self.aside):
                yield self.own.restored(chunk)
            first += batch.num_rows

    def _batch_rows(self) -> int:
        """Rows to decode at once, by the file's own account."""
        meta = self.file.metadata
        packed = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        return batch_rows(packed // max(meta.num_rows, 1), len(self.schema.names))


def _invalid(error: Exception) -> MalformedData:
    return MalformedData("parquet_invalid", detail=str(error).splitlines()[0][:200])
