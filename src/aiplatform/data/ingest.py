"""``python -m aiplatform.data.ingest``: an untrusted file in, canonical Parquet out.

The API never parses what users upload; it runs this program, which prints one line of JSON: what
the file is, or what is wrong with it. Its memory is limited, and it leaves no output behind on a
fault. Any exit status but 0 is a defect of this program, not of the file.
"""

import argparse
import contextlib
import gc
import itertools
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from aiplatform.data.blobs import hash_file, sync_directory
from aiplatform.data.canonical import CanonicalWriter
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import Chunk, Opened, open_file
from aiplatform.data.limits import MEMORY_BYTES
from aiplatform.data.plan import Plan
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import DataFormat


def ingest(
    source: Path, output: Path, *, filename: str, claimed: DataFormat | None = None
) -> dict[str, Any]:
    """Read ``source`` and write its canonical Parquet to ``output``.

    The output appears whole or not at all.

    Args:
        filename: the name that the file was uploaded under.
        claimed: what the uploader says it is; None to find out.

    Returns:
        What was found: rows, format, shape, columns, encoding, compression, and the SHA-256 and
        size of the output.

    Raises:
        MalformedData: the file is not what it claims to be.
    """
    partial = output.with_name(f"{output.name}.partial")
    scratch = output.with_name(f"{output.name}.unpacked")
    try:
        opened = open_file(source, filename=filename, claimed=claimed, scratch=scratch)
        rows, plan = _convert(opened, partial)
        sha256, size = hash_file(partial)
        partial.rename(output)
        sync_directory(output.parent)
    except MemoryError as error:
        raise MalformedData("memory") from error
    finally:
        partial.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)
    return {
        "rows": rows,
        "format": opened.format,
        "shape": plan.recognition.shape,
        "columns": plan.described(),
        "renamed": plan.recognition.renames,
        "encoding": opened.encoding,
        "compression": opened.compression,
        "details": opened.details,
        "sha256": sha256,
        "size": size,
    }


def _convert(opened: Opened, target: Path) -> tuple[int, Plan]:
    """Write all rows; a second time when later ones did not fit the columns of the earlier."""
    chunks = iter(opened.reader)
    first = next(chunks, None)
    if first is None:
        raise MalformedData("no_rows")
    plan = Plan(first)
    plan.learn(plan.conform(first))
    rows = _write(opened, plan, itertools.chain([first], chunks), target)
    if rows is None:
        rows = _write(opened, plan, iter(opened.reader), target)
    if rows is None:
        raise AssertionError("the second reading brought what the first had not")
    return rows, plan


def _write(opened: Opened, plan: Plan, chunks: Iterator[Chunk], target: Path) -> int | None:
    """Write ``chunks``; None when the plan had to be widened, which then has seen all of them."""
    opened.reader.hint = plan.hint()
    schema = plan.schema(opened.format)
    if not plan.kinds:
        _learn(opened, plan, chunks)
        return None
    with CanonicalWriter(target, schema) as writer:
        for chunk in chunks:
            columns = plan.conform(chunk)
            if plan.learn(columns):
                _learn(opened, plan, chunks)
                return None
            writer.write(plan.batch(chunk, columns, schema))
    return writer.rows


def _learn(opened: Opened, plan: Plan, chunks: Iterator[Chunk]) -> None:
    for chunk in chunks:
        opened.reader.hint = plan.hint()
        plan.learn(plan.conform(chunk))
    if not plan.kinds:
        raise MalformedData("columns_none")


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; prints one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.ingest", description=__doc__)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--filename", required=True, help="the name it was uploaded under")
    parser.add_argument("--format", type=DataFormat, choices=list(DataFormat))
    options = parser.parse_args(arguments)
    _prepare_process()
    try:
        found = ingest(
            options.input, options.output, filename=options.filename, claimed=options.format
        )
        answer = {"ok": True, **found}
    except MalformedData as fault:
        answer = {"ok": False, **fault.as_dict()}
    sys.stdout.write(dumps(answer) + "\n")
    return 0


def _prepare_process() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    # macOS has no such limit; the limits of the readers remain.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    # A request to stop must unwind the stack, which removes the partial output.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Parsed rows are trees that reference counting frees; looking for cycles costs a fifth.
    gc.disable()
    # One thread parses, one encodes; Arrow's own pool would only contend with them.
    pa.set_cpu_count(1)


if __name__ == "__main__":
    sys.exit(main())
