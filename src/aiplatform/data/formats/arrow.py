"""Arrow IPC, as a file (which ``.feather`` is too) or a stream: typed columns, made plain.

A record batch is read whole, since the format has it so, and looked at in slices. Nothing of it is
used before Arrow has checked that its offsets stay inside it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.decoded_sizes import LEAST_BYTES
from aiplatform.data.formats.plain import batch_rows, chunks_of
from aiplatform.data.formats.source import ARROW_FILE_MAGIC, Meter
from aiplatform.data.limits import COLUMNAR_BOMB_RATIO
from aiplatform.data.quarantine import Quarantine

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Arrow:
    """Reads Arrow IPC.

    Args:
        aside: takes rows with values that are none; without it they are faults.
        packed: the size of the upload in bytes, where this file was unpacked from it.

    Raises:
        MalformedData: it is none, or has columns that no table should have.
    """

    hint = None

    def __init__(
        self, path: Path, aside: Quarantine | None = None, *, packed: int | None = None
    ) -> None:
        self.path = path
        self.packed = packed or path.stat().st_size
        self.aside = aside
        with path.open("rb") as file:
            self.is_file = file.read(len(ARROW_FILE_MAGIC)) == ARROW_FILE_MAGIC
            file.seek(-min(len(END_OF_STREAM), path.stat().st_size), os.SEEK_END)
            if not self.is_file and file.read() != END_OF_STREAM:
                # Arrow takes a stream that was cut between two batches for a whole one.
                raise MalformedData("arrow_invalid", detail="it ends before its end; is it cut?")
        with pa.OSFile(str(path)) as opened:
            schema = next(self._read(opened))
        assert isinstance(schema, pa.Schema)
        check_names(schema.names)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        first = 1
        # Read, not mapped: a mapping of a large file would count as this process's memory.
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
                    yield from chunks_of(part, first, self.aside, meter)
                    first += part.num_rows

    def _read(self, opened: pa.NativeFile) -> Iterator[pa.Schema | pa.RecordBatch]:
        """The schema, then each batch, checked."""
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
