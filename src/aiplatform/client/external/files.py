"""Artifacts of an external run: files are copied to its directory and deleted after upload."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from uuid import uuid4

from aiplatform.language import tr

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
        FileNotFoundError: if there is none.
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
