"""The worker's cache of converted models."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiplatform.runtime.artifacts import WEIGHTS, make_durable
from aiplatform.runtime.serving.gguf.convert import MODEL_FILE, REFUSED, SAMPLES_FILE
from aiplatform.runtime.serving.gguf.samples import Samples

LAYOUT = 1
"""Version of the conversion. Increase it if the conversion changes; old entries are then unused."""

UNUSED_SECONDS = 14 * 86400.0
"""Seconds without use after which an entry is deleted."""

POLL_SECONDS = 0.1


class NotConvertible(Exception):
    """The model can't be converted to GGUF; the text says why, as a part of a sentence."""


class ConversionFailed(Exception):
    """The conversion ended with an error; the log has the cause."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted model in the cache."""

    file: Path
    samples: Samples


def converted(
    model: Path, number_format: str, cache: Path, check: Callable[[], None] = lambda: None
) -> Converted:
    """Return a model as a GGUF file from the cache, after converting it if necessary.

    If several processes need the same model at the same time, one of them converts it, and the
    others wait.

    Args:
        model: The model's directory.
        number_format: See :func:`convert.convert`.
        cache: The cache's directory, which is created if it does not exist.
        check: Called repeatedly while this function waits. It may raise an exception to end the
            wait.

    Raises:
        NotConvertible: The model can't be converted.
        ConversionFailed: The conversion failed.
    """
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    entry = cache / key_of(model / WEIGHTS, number_format)
    with locked(entry.with_suffix(".lock"), check):
        if not entry.is_dir():
            remove_unused(cache)
            _fill(entry, model / WEIGHTS, number_format, check)
        entry.touch()  # for :func:`remove_unused`
        samples = Samples.model_validate_json((entry / SAMPLES_FILE).read_bytes())
    return Converted(entry / MODEL_FILE, samples)


def key_of(weights: Path, number_format: str) -> str:
    """Return the name of a model's cache entry, which is a digest of all files in ``weights``."""
    digest = hashlib.sha256(f"{LAYOUT} {number_format}".encode())
    for file in sorted(weights.iterdir()):
        if file.is_file():
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"\n{file.name} {content}".encode())
    return digest.hexdigest()[:40]


@contextmanager
def locked(file: Path, check: Callable[[], None]) -> Iterator[None]:
    """Hold the exclusive lock of ``file``, which the system releases even if the process dies."""
    with file.open("w") as opened:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(POLL_SECONDS)
        yield


def _fill(entry: Path, weights: Path, number_format: str, check: Callable[[], None]) -> None:
    """Convert a model into the cache entry, which appears only when it is complete."""
    partial = entry.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed conversion
    partial.mkdir()
    program = [sys.executable, "-m", "aiplatform.runtime.serving.gguf.convert"]
    process = subprocess.Popen(
        [*program, str(weights), number_format, str(partial)], stdout=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None:
            check()
            time.sleep(POLL_SECONDS)
    finally:
        process.kill()
        said = process.communicate()[0]
        if process.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
    # The signal that requests a stop also stops the conversion.
    check()
    if process.returncode == REFUSED:
        raise NotConvertible(said.strip().rpartition("\n")[2])
    if process.returncode != 0:
        raise ConversionFailed(
            f"The conversion to GGUF ended with exit code {process.returncode}; the log has the "
            "cause."
        )
    make_durable(partial)
    partial.rename(entry)


def remove_unused(cache: Path, now: float | None = None) -> None:
    """Delete the entries that have not been used for two weeks.

    A server that has a deleted file open can use the file until the server exits.
    """
    oldest = (time.time() if now is None else now) - UNUSED_SECONDS
    for entry in cache.iterdir():
        try:
            if entry.stat().st_mtime >= oldest:
                continue
        except FileNotFoundError:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
