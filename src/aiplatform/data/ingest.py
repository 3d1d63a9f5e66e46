"""``python -m aiplatform.data.ingest``: convert an untrusted file to canonical Parquet.

The API never parses uploaded files. It runs this program, which prints one line of JSON: a
description of the file, or its error. The program's memory is limited, and after an error it leaves
no output behind. An exit status other than 0 is a bug in this program, not an error in the file.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if __name__ == "__main__":
    # NumPy's linear algebra threads spin while they wait; this program does not need them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pyarrow as pa

from aiplatform.data.canonical import CanonicalWriter
from aiplatform.data.column_types import UNTYPED, type_changes
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import Chunk, Opened, open_file
from aiplatform.data.formats.concatenated import Concatenated
from aiplatform.data.limits import (
    CPU_SECONDS,
    MAX_CELLS,
    MAX_UNPACKED_BYTES,
    MEMORY_BYTES,
    MIB,
    Limits,
    current_limits,
    set_limits,
)
from aiplatform.data.no_pandas import hide_pandas
from aiplatform.data.plan import Plan, Typing
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.enums import DataFormat

if TYPE_CHECKING:
    from aiplatform.protocol.reading_options import Reading


def ingest(
    source: Path,
    output: Path,
    *,
    filename: str,
    claimed: DataFormat | None = None,
    reading: "Reading | None" = None,
    max_bad_share: float = 0,
    previous_types: Mapping[str, str] | None = None,
    explicit_types: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Read ``source`` and write its canonical Parquet to ``output``; see :func:`ingest_all`."""
    return ingest_all(
        [(source, filename)],
        output,
        claimed=claimed,
        reading=reading,
        max_bad_share=max_bad_share,
        previous_types=previous_types,
        explicit_types=explicit_types,
    )


def ingest_all(
    sources: Sequence[tuple[Path, str]],
    output: Path,
    *,
    claimed: DataFormat | None = None,
    reading: "Reading | None" = None,
    max_bad_share: float = 0,
    previous_types: Mapping[str, str] | None = None,
    explicit_types: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Read files one after another and write their rows to one canonical Parquet file.

    The output is either complete or absent. The same is true of the file with the rows that are set
    aside, which has the name of the output with ``.quarantine`` appended. It is written only if
    there are such rows.

    Args:
        sources: Each file with the name under which it was uploaded.
        output: The canonical Parquet file to write.
        claimed: The format that the uploader gave; None to detect it.
        reading: The uploader's options for reading.
        max_bad_share: The share of all rows that may be set aside, from 0 to 1.
        previous_types: The column types of the previous version. Columns keep them if all values
            fit.
        explicit_types: The types in ``previous_types`` that an uploader has set. In CSV and TSV, a
            value that does not fit is an error.

    Returns:
        A description with rows, format, shape, columns, encoding, compression, the rows set aside,
        and the SHA-256 and size of the output.

    Raises:
        MalformedData: the content of a file is not valid.
    """
    partial = output.with_name(f"{output.name}.partial")
    scratch = output.with_name(f"{output.name}.unpacked")
    quarantine: Quarantine | None = None
    try:
        if reading and reading.bad_rows == "quarantine":
            quarantine = Quarantine(output.with_name(f"{output.name}.quarantine"), max_bad_share)
        opened = _open_all(
            sources, scratch, claimed=claimed, reading=reading, quarantine=quarantine
        )
        known = Typing(
            untyped=opened.format in UNTYPED,
            given_types=reading.types if reading else {},
            previous_types=previous_types or {},
            explicit_types=explicit_types or {},
            header_found=opened.format in UNTYPED and (reading is None or reading.header is None),
        )
        mapped = reading.map if reading else None
        found = convert(opened, partial, mapped=mapped, quarantine=quarantine, typing=known)
        # No fsync here: the blob store syncs what is kept, and the rest may be lost in a crash.
        partial.rename(output)
        quarantine = None
    except MemoryError as error:
        raise MalformedData("memory", limit=current_limits().memory_bytes // MIB) from error
    finally:
        partial.unlink(missing_ok=True)
        for number in range(len(sources)):
            _numbered(scratch, number).unlink(missing_ok=True)
        if quarantine is not None:
            quarantine.discard()
    return found


def _open_all(sources: Sequence[tuple[Path, str]], scratch: Path, **options: Any) -> Opened:
    found = []
    for number, (source, name) in enumerate(sources):
        try:
            opened = open_file(source, filename=name, scratch=_numbered(scratch, number), **options)
        except MalformedData as error:
            raise error if len(sources) == 1 else error.with_file(name) from error
        found.append(opened)
    if len(found) == 1:
        return found[0]
    readers = [(name, opened.reader) for (_, name), opened in zip(sources, found, strict=True)]
    return replace(found[0], reader=Concatenated(readers, options["quarantine"]))


def _numbered(scratch: Path, number: int) -> Path:
    return scratch.with_name(f"{scratch.name}.{number}") if number else scratch


def convert(
    opened: Opened,
    target: Path,
    *,
    mapped: Mapping[str, str] | None = None,
    quarantine: Quarantine | None = None,
    typing: Typing | None = None,
) -> dict[str, Any]:
    """Write the canonical Parquet file ``target`` from an opened file; see :func:`ingest_all`."""
    written, plan = _convert(opened, target, mapped, quarantine, typing)
    retyped = type_changes(plan.typing.previous_types, plan.describe())
    doubt = plan.header_doubt()
    explicit_types = plan.explicit_types()
    set_aside = None if quarantine is None else quarantine.close()
    return {
        "rows": written.rows,
        "format": opened.format,
        "shape": plan.recognition.shape,
        "columns": plan.describe(),
        "renamed": plan.recognition.renames,
        "encoding": opened.encoding,
        "compression": opened.compression,
        "details": opened.details,
        **({"map": dict(mapped)} if mapped else {}),
        **({"types": dict(plan.typing.given_types)} if plan.typing.given_types else {}),
        **({"named": explicit_types} if explicit_types else {}),
        **({"retyped": retyped} if retyped else {}),
        **({"header_doubt": doubt._asdict()} if doubt else {}),
        **({"quarantined": set_aside} if set_aside else {}),
        "sha256": written.sha256,
        "size": written.size,
    }


def _convert(
    opened: Opened,
    target: Path,
    mapped: Mapping[str, str] | None,
    quarantine: Quarantine | None,
    typing: Typing | None,
) -> tuple[CanonicalWriter, Plan]:
    """Write all rows, and start over if later rows changed the column types."""
    chunks = iter(opened.reader)
    first = next(chunks, None)
    if first is None:
        if quarantine is not None:
            quarantine.check_share(0)
        raise MalformedData("no_rows")
    plan = Plan(first, mapped, typing)
    first, columns = plan.split_off_bad_rows(first, quarantine)
    plan.learn(columns)
    written = _write(opened, plan, itertools.chain([first], chunks), target, quarantine, learned=1)
    if written is None:
        plan.freeze()
        if quarantine is not None:
            quarantine.restart()
        written = _write(opened, plan, iter(opened.reader), target, quarantine)
    if written is None:
        raise AssertionError("the second reading brought what the first had not")
    if quarantine is not None:
        quarantine.check_share(written.rows)
    return written, plan


def _write(
    opened: Opened,
    plan: Plan,
    chunks: Iterator[Chunk],
    target: Path,
    quarantine: Quarantine | None,
    *,
    learned: int = 0,
) -> CanonicalWriter | None:
    """Write ``chunks``; return None if the plan's column types changed in the process.

    In that case, the plan has learned the types from all chunks, and the file must be read again.

    Args:
        opened: The file, for its format and reader.
        plan: The plan of the columns.
        chunks: The chunks to write.
        target: The Parquet file to write.
        quarantine: Receives rows that can't be read; None if these are errors.
        learned: The number of chunks at the beginning from which the plan has already learned.
    """
    opened.reader.hint = plan.hint()
    schema = plan.schema(opened.format)
    if not plan.kinds:
        _learn(opened, plan, chunks, quarantine)
        return None
    with CanonicalWriter(target, schema) as writer:
        for number, chunk in enumerate(chunks):
            left, columns = plan.split_off_bad_rows(chunk, quarantine)
            if number >= learned and plan.learn(columns):
                _learn(opened, plan, chunks, quarantine)
                return None
            # Missing values take memory, too, and rows may lack most of the columns.
            step = max(1, MAX_CELLS // len(schema))
            if left.rows <= step:
                if left.rows:
                    writer.write(plan.batch(left, columns, schema))
                continue
            for start in range(0, left.rows, step):
                some = range(start, min(start + step, left.rows))
                part = {name: values[start : some.stop] for name, values in columns.items()}
                writer.write(plan.batch(left.take(some), part, schema))
    return writer


def _learn(
    opened: Opened, plan: Plan, chunks: Iterator[Chunk], quarantine: Quarantine | None
) -> None:
    for chunk in chunks:
        opened.reader.hint = plan.hint()
        plan.learn(plan.split_off_bad_rows(chunk, quarantine)[1])
    if not plan.kinds:
        raise MalformedData("columns_none")


def main(arguments: list[str] | None = None) -> int:
    """Run the program: print one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.ingest", description=__doc__)
    parser.add_argument("--input", type=Path, required=True, action="append")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--filename", required=True, action="append", help="the name an input was uploaded under"
    )
    parser.add_argument("--format", type=DataFormat, choices=list(DataFormat))
    parser.add_argument("--reading", type=_reading, help="how to read it, as JSON")
    parser.add_argument(
        "--previous-types", type=json.loads, help="column types of the previous version, as JSON"
    )
    parser.add_argument(
        "--explicit-types", type=json.loads, help="those that an uploader has set, as JSON"
    )
    parser.add_argument(
        "--max-bad-share", type=float, default=0.0, help="of all rows, how many may be set aside"
    )
    parser.add_argument("--memory-mb", type=int, default=MEMORY_BYTES // MIB)
    parser.add_argument("--cpu-seconds", type=int, default=CPU_SECONDS)
    parser.add_argument("--max-ratio", type=int, help="decoded over uploaded size")
    parser.add_argument("--max-unpacked-bytes", type=int, default=MAX_UNPACKED_BYTES)
    options = parser.parse_args(arguments)
    limits = Limits(
        memory_bytes=options.memory_mb * MIB,
        cpu_seconds=options.cpu_seconds,
        ratio=options.max_ratio,
        unpacked_bytes=options.max_unpacked_bytes,
    )
    set_limits(limits)
    prepare_process()
    limit_cpu(limits.cpu_seconds_for(sum(path.stat().st_size for path in options.input)))
    try:
        found = ingest_all(
            list(zip(options.input, options.filename, strict=True)),
            options.output,
            claimed=options.format,
            reading=options.reading,
            max_bad_share=options.max_bad_share,
            previous_types=options.previous_types,
            explicit_types=options.explicit_types,
        )
        answer = {"ok": True, **found}
    except MalformedData as error:
        answer = {"ok": False, **error.as_dict()}
    sys.stdout.write(_line(answer) + "\n")
    return 0


def _reading(text: str) -> "Reading":
    # Imported late, as pydantic is slow to import and most uploads have no options.
    from aiplatform.protocol.reading_options import Reading  # noqa: PLC0415

    return Reading.model_validate_json(text)


def _line(answer: dict[str, Any]) -> str:
    """Return the answer, which contains no floats, as JSON."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    if "\\u0000" not in text:
        return text
    from aiplatform.protocol.encoding import dumps  # noqa: PLC0415

    return dumps(answer)


def prepare_process() -> None:
    """Limit memory and threads of this process, and turn SIGTERM into an exception."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = current_limits().memory_bytes
    limit = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
    # macOS has no such limit; the readers' own limits still apply.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    # SIGTERM must unwind the stack, which removes the partial output.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Parsed rows are trees, which reference counting frees; the search for cycles would take a
    # fifth of the time.
    gc.disable()
    gc.freeze()  # The collection at exit then skips the imported modules.
    # Two threads parse and one encodes; Arrow's own pool would only compete with them.
    pa.set_cpu_count(1)


def limit_cpu(seconds: int) -> None:
    """Make the kernel stop this process with SIGXCPU after ``seconds`` of CPU time.

    There is no signal handler, because Python could not run it during a library call that takes
    minutes.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or seconds < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def run_program(program: Callable[[], int]) -> NoReturn:
    """Run the main function of a program that reads rows, and exit with the code it returns."""
    hide_pandas()
    code = program()
    sys.stdout.flush()
    # All files are closed. A regular shutdown of the interpreter takes a twentieth of an ingest.
    os._exit(code)


if __name__ == "__main__":
    run_program(main)
