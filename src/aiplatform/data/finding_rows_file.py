"""Read and write the index file with the row positions of each finding.

:mod:`~aiplatform.data.list_finding_rows` writes the file, and the server reads it. This module is
separate from the quality checks, so that the server does not load the large libraries that they
need.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("finding", pa.string()), ("place", pa.uint32())])


def write_positions(index: Path, positions: Mapping[str, Collection[int]]) -> None:
    """Write an index file with the positions of each finding's rows, counted from 0."""
    with pq.ParquetWriter(index, SCHEMA, compression="zstd") as writer:
        for code, rows in sorted(positions.items()):
            numbers = pa.array(sorted(rows), pa.uint32())
            writer.write_table(pa.table([pa.array([code] * len(numbers)), numbers], schema=SCHEMA))


def read_positions(index: Path, finding: str) -> npt.NDArray[np.int64]:
    """Return the positions of a finding's rows, ascending."""
    table = pq.read_table(index, filters=[("finding", "=", finding)], columns=["place"])
    found: npt.NDArray[np.int64] = table.column("place").to_numpy().astype(np.int64)
    return found
