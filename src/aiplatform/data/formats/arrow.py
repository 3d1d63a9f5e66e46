"""Reader for Arrow IPC files (including ``.feather``) and streams.

A record batch must be read as a whole, and is then converted in slices. A batch is used only after
Arrow has checked that all its offsets point into the batch.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.source_file import ARROW_FILE_MAGIC, Meter
from aiplatform.data.formats.type_conversion import LEAST_BYTES, batch_rows, chunks_of
from aiplatform.data.limits import COLUMNAR_BOMB_RATIO
from aiplatform.data.quarantine import Quarantine

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Arrow:
    """A reader for Arrow IPC.

    Args:
        path: The file.
        quarantine: Receives rows with invalid values; if None, these are errors.
        packed: The size of the upload in bytes, if this file was unpacked from it.

    Raises:
        MalformedData: the file is not valid Arrow IPC, or has invalid column names.
    """

    hint = None

    def __init__(
        self, path: Path, quarantine: Quarantine | None = None, *, packed: int | None = None
    ) -> None:
        self.path = path
        self.packed = packed or path.stat().st_size
        self.quarantine = quarantine
        with path.open("rb") as file:
            self.is_file = file.read(len(ARROW_FILE_MAGIC)) == ARROW_FILE_MAGIC
            file.seek(-min(len(END_OF_STREAM), path.stat().st_size), os.SEEK_END)
            if not self.is_file and file.read() != END_OF_STREAM:
                # Arrow would accept a stream that was cut between two batches as complete.
                raise MalformedData(
                    "arrow_invalid", detail="it ends too early; is the file incomplete?"
                )
        with pa.OSFile(str(path)) as opened:
            schema = next(self._read(opened))
        assert isinstance(schema, pa.Schema)
        check_names(schema.names)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        first = 1
        # Don't map the file, because a mapped file would count as memory of this process.
        with pa.OSFile(str(self.path)) as opened:
            read = self._read(opened)
            columns = len(next(read).names)
            for batch in read:
                if batch.num_rows == 0:
                    continue
                meter.check(meter.total + batch.num_rows * columns * LEAST_BYTES, row=first)
                step = batch_rows(batch.nbytes // batch.num_rows, columns)
                for start in range(0, batch.num_rows, step):
                    part = batch.slice(start, step)
                    yield from chunks_of(part, first, self.quarantine, meter)
                    first += part.num_rows

    def _read(self, opened: pa.NativeFile) -> Iterator[pa.Schema | pa.RecordBatch]:
        """Yield the schema, and then each batch after validation."""
        try:
            if self.is_file:
                reader = pa.ipc.open_file(opened)
                yield reader.schema
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    batch.validate(full=True)
                    yield batch
            else:
                stream = pa.ipc.open_stream(opened)
                yield stream.schema
                for batch in stream:
                    batch.validate(full=True)
                    yield batch
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            detail = str(error).splitlines()[0][:200]
            raise MalformedData("arrow_invalid", detail=detail) from error
