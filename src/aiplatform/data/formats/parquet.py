"""Reader of Parquet; :mod:`~aiplatform.data.formats.type_conversion` converts the typed columns."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.canonical_json import CanonicalJson
from aiplatform.data.formats.decoded_sizes import LEAST_BYTES
from aiplatform.data.formats.parquet_pages import BrokenHeaderError, pages_of
from aiplatform.data.formats.source_file import Meter
from aiplatform.data.formats.type_conversion import batch_rows, chunks_of
from aiplatform.data.limits import COLUMNAR_BOMB_RATIO, MIB
from aiplatform.data.quarantine import Quarantine

MAX_SPELT_BYTES = 256 * MIB
"""Bytes by which dictionaries and shared prefixes may enlarge the rows decoded at once."""

DICTIONARY_ENCODINGS = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
PREFIX_ENCODING = "DELTA_BYTE_ARRAY"
"""Encoding in which a text can repeat the one before it while taking up almost no space."""


class Parquet:
    """A reader for a Parquet file.

    Args:
        path: The file.
        quarantine: Receives rows with invalid values; if None, these are errors.
        packed: The size of the upload in bytes, if this file was unpacked from it.

    Raises:
        MalformedData: it is not valid Parquet, has invalid column names, or is a decompression
            bomb.
    """

    hint = None

    def __init__(
        self, path: Path, quarantine: Quarantine | None = None, *, packed: int | None = None
    ) -> None:
        self.quarantine = quarantine
        self.packed = packed or path.stat().st_size
        try:
            self.file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
            self.schema = self.file.schema_arrow
            check_names(self.schema.names)
            self.rows_at_once, kept = self._examined(path)
            if kept:
                self.file = pq.ParquetFile(
                    path, memory_map=False, pre_buffer=False, read_dictionary=kept
                )
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, BrokenHeaderError, OSError) as error:
            raise _invalid(error) from error
        self.canonical_json = CanonicalJson(self.schema)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        first = 1
        batches = self.file.iter_batches(batch_size=self.rows_at_once, use_threads=False)
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
            for chunk in chunks_of(batch, first, self.quarantine, meter):
                yield self.canonical_json.restore(chunk)
            first += batch.num_rows

    def _examined(self, path: Path) -> tuple[int, list[str]]:
        """Check the page headers of text columns before any page is decoded.

        Returns:
            The number of rows to decode at once, and the columns whose dictionaries are so large
            that Arrow must keep them encoded.
        """
        meta = self.file.metadata
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        columns = len(self.schema.names)
        meter.check(meta.num_rows * columns * LEAST_BYTES, row=1)
        packed = unpacked = 0
        longest = max(sum(_fixed_length(meta, number) for number in range(meta.num_columns)), 1)
        kept: dict[str, None] = {}
        share = MAX_SPELT_BYTES // max(meta.num_columns, 1)
        rows = batch_rows(0, columns)
        with path.open("rb") as file:
            for number in range(meta.num_row_groups):
                group = meta.row_group(number)
                packed += group.total_byte_size
                prefixed = 0
                for position in range(group.num_columns):
                    chunk = group.column(position)
                    encodings = set(chunk.encodings)
                    if chunk.physical_type != "BYTE_ARRAY" or not (
                        encodings & DICTIONARY_ENCODINGS or PREFIX_ENCODING in encodings
                    ):
                        continue
                    start = chunk.data_page_offset
                    if chunk.dictionary_page_offset:
                        start = min(start, chunk.dictionary_page_offset)
                    dictionary = page_bytes = values = 0
                    for page in pages_of(file, start, chunk.total_compressed_size):
                        unpacked += page.size
                        meter.check(unpacked)
                        if page.is_dictionary:
                            dictionary = page.size
                        else:
                            page_bytes = max(page_bytes, page.size)
                            values += page.values
                    is_nested = meta.schema.column(position).max_repetition_level > 0
                    if dictionary * (values if is_nested else min(values, rows)) > share:
                        kept[chunk.path_in_schema] = None
                    if PREFIX_ENCODING in encodings:
                        prefixed += page_bytes
                longest = max(longest, prefixed)
        rows = batch_rows(packed // max(meta.num_rows, 1), columns)
        return max(1, min(rows, MAX_SPELT_BYTES // longest)), list(kept)


def _fixed_length(meta: pq.FileMetaData, number: int) -> int:
    """Return the length of a column's values if the type fixes it; otherwise 0."""
    column = meta.schema.column(number)
    return int(column.length) if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0


def _invalid(error: Exception) -> MalformedData:
    return MalformedData("parquet_invalid", detail=str(error).splitlines()[0][:200])
