"""What a run has said, in files, before anybody else hears of it.

Each line of ``points.jsonl`` and ``log.jsonl`` is one record, and its number is that of the line.
Whoever sends them says the number, and the server takes each once; so they can be sent again after
any failure, by this process or another.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import platformdirs

from aiplatform.client.errors import ClientError
from aiplatform.client.external.files import Files
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus

LONGEST_RECORD = 1 << 20
"""Bytes; no line of a file is longer."""

ABOUT, POINTS, LOG, END = "run.json", "points.jsonl", "log.jsonl", "end.json"


def runs_directory() -> Path:
    """``AIPLATFORM_RUNS``, else a directory of the user's data."""
    override = os.environ.get("AIPLATFORM_RUNS")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_data_path("aiplatform", appauthor=False) / "runs"


def ending(status: TaskStatus | str) -> TaskStatus:
    """How a run can end, from a word.

    Raises:
        ValueError: for a word that is no end.
    """
    ends = [each for each in TaskStatus if each.is_final]
    if status not in ends:
        raise ValueError(f"a run does not end as {str(status)!r} but as one of: {', '.join(ends)}")
    return TaskStatus(status)


class NoJournal(ClientError):
    """A directory that holds no run."""


class Records:
    """A file of lines to which records are added, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o600)

    def add(self, lines: Iterable[str]) -> None:
        """Write some lines in one go, so that processes that were forked do not mix theirs.

        Raises:
            OSError: when they can't be written; none of them is there then.
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
        """Nothing is added any more."""
        with self._lock:
            # The number may be another file's from here on.
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


class Reader:
    """Reads the lines of a file in pieces, from any of them on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 1
        self._offset = 0

    def read(self, *, lines: int, size: int) -> list[bytes]:
        """The next lines: at most ``lines`` of ``size`` bytes; the reader stays where it is."""
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
        """These have been seen to."""
        self._offset += sum(map(len, lines))
        self.number += len(lines)

    def go_to(self, number: int) -> None:
        """Stand before the line of that number, or at the end when there are not so many."""
        self._offset, self.number = 0, 1
        while self.number < number:
            lines = self.read(lines=number - self.number, size=1 << 20)
            if not lines:
                return
            self.skip(lines)


class Journal:
    """The directory of one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = Files(directory)
        try:
            self.about: dict[str, Any] = json.loads((directory / ABOUT).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise NoJournal(
                tr("{directory} holds no run: {error}", directory=directory, error=error)
            ) from error

    @classmethod
    def create(cls, parent: Path, about: Mapping[str, Any]) -> "Journal":
        """Begin one in a new directory below ``parent``, under a name that nobody else chose."""
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
        """How the run ended; None while it has not, or when its process died before it could."""
        try:
            found: dict[str, Any] = json.loads((self.directory / END).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    def last_said(self) -> str | None:
        """When the run recorded its last point or line, else when it began; ISO 8601, in UTC."""
        times = [_last_time(self.directory / name) for name in (POINTS, LOG)]
        said = [time for time in times if time is not None]
        if said:
            return datetime.fromtimestamp(max(said), UTC).isoformat()
        began: str | None = self.about.get("started_at")
        return began

    def note(self, **facts: Any) -> None:
        """Remember something about the run, such as its task."""
        self.about |= facts
        _write(self.directory / ABOUT, self.about)

    def note_end(self, end: Mapping[str, Any]) -> None:
        """Remember how it ended."""
        _write(self.directory / END, end)

    def remove(self) -> None:
        """Delete what was sent; files of others in the directory stay, and it with them."""
        for name in (ABOUT, POINTS, LOG, END):
            (self.directory / name).unlink(missing_ok=True)
        self.files.remove()
        if not any(self.directory.iterdir()):
            self.directory.rmdir()


def _last_time(path: Path) -> float | None:
    """The ``time`` of the last whole record; None where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_RECORD))
            tail = file.read()
    except FileNotFoundError:
        return None
    # What a machine wrote as it went down may be half a line, or none.
    for line in reversed(tail.splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return float(json.loads(line)["time"])
    return None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all, whenever the process dies."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(dumps(value), encoding="utf-8")
    new.replace(path)
