"""The journal of an external run: files that record everything before it is sent.

Each line of ``points.jsonl`` and ``log.jsonl`` is one record, whose number is its line number. The
sender sends the number along, and the server stores each record once. Therefore records can be sent
again after any failure, by this process or another.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import platformdirs

from aiplatform.client.errors import ClientError
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus

WAITING, REFUSED, NEW = "artifacts", "refused", ".new-"


class Files:
    """The files of a run that are not yet uploaded; safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self.waiting = directory / WAITING
        self.refused = directory / REFUSED
        self._lock = threading.Lock()

    def add(self, source: Path, path: str) -> None:
        """Copy a file, replacing an unsent one with the same path.

        Raises:
            OSError: if the file can't be read or copied.
        """
        self.waiting.mkdir(exist_ok=True)
        new = self.waiting / f"{NEW}{uuid4().hex}"
        try:
            shutil.copyfile(source, new)
            target = self.waiting / path
            with self._lock:
                target.parent.mkdir(parents=True, exist_ok=True)
                new.replace(target)
        finally:
            new.unlink(missing_ok=True)

    def pending(self) -> Iterator[tuple[str, Path, os.stat_result]]:
        """Yield each waiting file with its artifact path and its current status."""
        for file in sorted(self.waiting.rglob("*")):
            if file.is_file() and not file.name.startswith(NEW):
                path = file.relative_to(self.waiting).as_posix()
                try:
                    was = file.stat()
                except FileNotFoundError:
                    continue  # sent by another process in the meantime
                yield path, file, was

    def sent(self, file: Path, was: os.stat_result) -> None:
        """Delete the copy of an uploaded file, unless it was replaced in the meantime."""
        with self._lock:
            if self._is(file, was):
                file.unlink(missing_ok=True)

    def refuse(self, path: str, file: Path, was: os.stat_result) -> Path:
        """Move a file that the server rejected out of the queue and return its new path."""
        target = self.refused / path
        with self._lock:
            if self._is(file, was):
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    file.replace(target)
        return target

    def remove(self) -> None:
        """Delete the files that are waiting to be sent; rejected files are kept."""
        shutil.rmtree(self.waiting, ignore_errors=True)

    @staticmethod
    def _is(file: Path, was: os.stat_result) -> bool:
        """Return True if the file is still the one with the status ``was``.

        Another process may send the same run, and remove the file first.
        """
        try:
            now = file.stat()
        except FileNotFoundError:
            return False
        return (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


def artifact_path(path: str | PurePosixPath) -> str:
    """Return the path of an artifact in the platform's form.

    Raises:
        ValueError: for an empty path, or one that leads out of the run's files.
    """
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts:
        raise ValueError(
            f"{str(path)!r} is not a path of an artifact; use a relative path without `..`"
        )
    return found.as_posix()


def files_below(source: Path, name: str | None) -> Iterator[tuple[Path, str]]:
    """Yield the file, or all files of the directory, each with its artifact path.

    Raises:
        FileNotFoundError: if ``source`` is neither a file nor a directory.
    """
    top = name or source.resolve().name
    if source.is_dir():
        for file in sorted(source.rglob("*")):
            if file.is_file():
                yield file, artifact_path(f"{top}/{file.relative_to(source).as_posix()}")
    elif source.is_file():
        yield source, artifact_path(top)
    else:
        raise FileNotFoundError(tr("there is no file {source}", source=source))


LONGEST_RECORD = 1 << 20
"""Maximum length in bytes of a line in a journal file."""

ABOUT, POINTS, LOG, END = "run.json", "points.jsonl", "log.jsonl", "end.json"


def runs_directory() -> Path:
    """Return ``AIPLATFORM_RUNS``, or else a directory in the user's data directory."""
    override = os.environ.get("AIPLATFORM_RUNS")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_data_path("aiplatform", appauthor=False) / "runs"


def parse_final_status(status: TaskStatus | str) -> TaskStatus:
    """Return the final task status with this name.

    Raises:
        ValueError: if ``status`` is not a final status.
    """
    ends = [each for each in TaskStatus if each.is_final]
    if status not in ends:
        raise ValueError(f"a run does not end as {str(status)!r} but as one of: {', '.join(ends)}")
    return TaskStatus(status)


class JournalNotFound(ClientError):
    """The directory contains no run."""


class Records:
    """A file of records, one per line; each batch of lines is added completely or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o600)

    def add(self, lines: Iterable[str]) -> None:
        """Append lines with one system call, so that lines of forked processes do not mix.

        Raises:
            OSError: if they can't be written; none of them is in the file in that case.
        """
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._lock:
            if self._fd < 0:
                raise OSError(f"{self.path} takes no more: the run has ended")
            before = os.fstat(self._fd).st_size
            if os.write(self._fd, data) < len(data):
                os.ftruncate(self._fd, before)
                raise OSError(f"no room for {self.path}")

    def close(self) -> None:
        """Close the file; nothing can be added afterwards."""
        with self._lock:
            # The system may reuse the descriptor for another file after the close.
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


class Reader:
    """A reader of text files that can start at any line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 1
        self._offset = 0

    def read(self, *, lines: int, size: int) -> list[bytes]:
        """Return the next lines (at most ``lines``, about ``size`` bytes) without advancing.

        A single line that is longer than ``size`` is returned whole.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                found = file.read(size)
                if found and b"\n" not in found:
                    found += file.readline()
        except FileNotFoundError:
            return []
        whole = found[: found.rfind(b"\n") + 1]
        return whole.splitlines(keepends=True)[:lines]

    def skip(self, lines: list[bytes]) -> None:
        """Advance past these lines."""
        self._offset += sum(map(len, lines))
        self.number += len(lines)

    def go_to(self, number: int) -> None:
        """Go to the line with this number, or to the end if there are fewer lines."""
        self._offset, self.number = 0, 1
        while self.number < number:
            lines = self.read(lines=number - self.number, size=1 << 20)
            if not lines:
                return
            self.skip(lines)


class Journal:
    """The directory of one run, with its records and artifacts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = Files(directory)
        try:
            self.about: dict[str, Any] = json.loads((directory / ABOUT).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise JournalNotFound(
                tr("{directory} contains no run: {error}", directory=directory, error=error)
            ) from error

    @classmethod
    def create(cls, parent: Path, about: Mapping[str, Any]) -> "Journal":
        """Create a journal in a new directory below ``parent``, with a unique name."""
        client_id = str(uuid4())
        directory = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{client_id[:8]}"
        directory.mkdir(parents=True)
        facts = {
            **about,
            "client_id": client_id,
            "points_writer": str(uuid4()),
            "log_writer": str(uuid4()),
        }
        _write(directory / ABOUT, facts)
        return cls(directory)

    @property
    def end(self) -> dict[str, Any] | None:
        """The recorded end of the run; None if it has not ended, or if its process was killed."""
        try:
            found: dict[str, Any] = json.loads((self.directory / END).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    def last_record_time(self) -> str | None:
        """Return the time of the run's last metric point or log line, or else of its start.

        Times are ISO 8601 in UTC.
        """
        times = [_last_time(self.directory / name) for name in (POINTS, LOG)]
        said = [time for time in times if time is not None]
        if said:
            return datetime.fromtimestamp(max(said), UTC).isoformat()
        began: str | None = self.about.get("started_at")
        return began

    def record_facts(self, **facts: Any) -> None:
        """Store properties of the run, such as its task."""
        self.about |= facts
        _write(self.directory / ABOUT, self.about)

    def record_end(self, end: Mapping[str, Any]) -> None:
        """Store the end of the run, such as its final status."""
        _write(self.directory / END, end)

    def remove(self) -> None:
        """Delete the run's files, and then the directory if it contains no other files."""
        for name in (ABOUT, POINTS, LOG, END):
            (self.directory / name).unlink(missing_ok=True)
        self.files.remove()
        if not any(self.directory.iterdir()):
            self.directory.rmdir()


def _last_time(path: Path) -> float | None:
    """Return the ``time`` of the last complete record; None if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_RECORD))
            tail = file.read()
    except FileNotFoundError:
        return None
    # After a crash of the machine, the last line may be incomplete or not JSON.
    for line in reversed(tail.splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return float(json.loads(line)["time"])
    return None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file atomically, so that a crash never leaves an incomplete file."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(dumps(value), encoding="utf-8")
    new.replace(path)
