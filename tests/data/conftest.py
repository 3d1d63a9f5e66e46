"""Fixtures and helpers for tests that ingest files and change rows."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from aiplatform.data import canonical
from aiplatform.data.canonical import iter_rows
from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import ingest
from aiplatform.data.operation_specs import Job
from aiplatform.data.row_operations import execute
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import Reading

Read = Callable[..., list[dict[str, Any]]]


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def chat(*turns: str) -> dict[str, Any]:
    """Return a conversation made from turns: ``u: text``, ``a: text``, ``s: text``, ``t: text``."""
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    return {
        "messages": [
            {"role": roles[turn[0]], "content": turn[2:].removeprefix(" ")} for turn in turns
        ]
    }


class Upload:
    """A helper that ingests bytes under a file name and keeps the result."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "rows.parquet"
        self.found: dict[str, Any] = {}

    def __call__(
        self,
        data: bytes | Path,
        filename: str,
        claimed: DataFormat | None = None,
        *,
        max_bad_share: float = 0.5,
        **reading: Any,
    ) -> list[dict[str, Any]]:
        source = data if isinstance(data, Path) else self.directory / "upload"
        if isinstance(data, bytes):
            source.write_bytes(data)
        self.output.unlink(missing_ok=True)
        self.found = ingest(
            source,
            self.output,
            filename=filename,
            claimed=claimed,
            reading=Reading(**reading),
            max_bad_share=max_bad_share,
        )
        return list(iter_rows(self.output))

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the rows that the last upload put into quarantine."""
        quarantined = self.output.with_name(f"{self.output.name}.quarantine")
        return lines([quarantined.read_bytes()]) if quarantined.exists() else []

    def error(
        self,
        data: bytes | Path,
        filename: str,
        claimed: DataFormat | None = None,
        **options: Any,
    ) -> MalformedData:
        """Return the error of a file, checking that the failed upload leaves no files."""
        source = data if isinstance(data, Path) else self.directory / "upload"
        before = {*self.directory.iterdir(), source}
        with pytest.raises(MalformedData) as caught:
            self(data, filename, claimed, **options)
        assert set(self.directory.iterdir()) <= before
        return caught.value


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return Upload(tmp_path)


def lines(rows: Iterable[bytes]) -> list[Any]:
    return [json.loads(line) for line in b"".join(rows).splitlines()]


def peak_of(command: list[str]) -> int:
    """Return a command's peak memory in MiB, measured by a separate process."""
    program = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit // (1024 * 1024)


Row = dict[str, Any]
Rows = list[Row]
Make = Callable[[Rows], Path]
Do = Callable[..., Any]
numbers = count()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes rows to a canonical Parquet file."""

    def make(rows: Rows) -> Path:
        source = tmp_path / f"{next(numbers)}.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        ingest(source, source.with_suffix(".parquet"), filename="rows.jsonl")
        return source.with_suffix(".parquet")

    return make


@pytest.fixture
def do(tmp_path: Path, make: Make) -> Callable[..., Any]:
    """Return a function that runs a row operation; its result includes the rows of all outputs."""

    def do(base: Rows, operation: str, rows: Rows | None = None, **facts: Any) -> Any:
        if rows is not None:
            facts["rows"] = make(rows)
        output = tmp_path / f"out{next(numbers)}"
        job = Job.model_validate(
            {"base": make(base), "output": output, "do": {"operation": operation, **facts}}
        )
        try:
            answer = execute(job)
        except MalformedData:
            assert not list(tmp_path.glob(f"{output.name}*"))
            raise
        answer["rows"] = [list(iter_rows(Path(o["path"]))) for o in answer["outputs"]]
        return answer

    return do


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 10)
