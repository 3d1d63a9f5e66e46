"""Throughput of a large upload, including the creation of its version, and the API's peak memory.

The time starts with the first byte and ends when the version exists. By then, the file has been
received and hashed, and all rows have been parsed, checked, written as canonical Parquet and
stored. The baseline is reading and hashing the file, which any content-addressed store has to do.
"""

import hashlib
import sys
import threading
import time
from pathlib import Path
from typing import Self

from common.figures import figure, progress
from common.platform import (
    NotMeasurable,
    Started,
    descendants,
    forget_peak,
    fresh_home,
    peak_bytes,
    proportional_bytes,
)

SIZE = 500 * 1000 * 1000
MB = 1000 * 1000
MIB = 2**20


def main() -> int:
    """Write a file, upload it, and compare with the baseline."""
    with fresh_home() as home:
        home.directory.parent.mkdir(exist_ok=True)
        file = home.directory.parent / "rows.jsonl"
        rows = write_rows(file)
        size = file.stat().st_size
        progress(f"{size / MB:.0f} MB, {rows} rows")
        hashing = hash_seconds(file)
        started = home.up()
        with home.client(started) as client, Memory(started) as memory:
            project = client.projects.create("upload")
            began = time.perf_counter()
            dataset = client.datasets.upload("large", file, project=project)
            seconds = time.perf_counter() - began
            assert dataset.row_count == rows, (dataset.row_count, rows)
            progress(f"uploaded in {seconds:.1f} s")
        figure(
            "upload.throughput",
            size / MB / seconds,
            "MB/s",
            baseline=size / MB / hashing,
            baseline_name="SHA-256 of the file",
        )
        if memory.reason:
            progress(f"memory not measured: {memory.reason}")
            return 0
        # PSS: the API's own memory plus its share of memory shared with other processes.
        figure("upload.api_memory", memory.proportional / MIB, "MiB PSS", target="< 300")
        figure("upload.api_peak_memory", memory.api / MIB, "MiB RSS")
        figure("upload.parser_peak_memory", memory.children / MIB, "MiB RSS")
    return 0


def write_rows(path: Path) -> int:
    """Write a JSONL file of distinct chats and return the number of rows."""
    answer = "The quick brown fox jumps over the lazy dog, and nobody asks the dog. " * 6
    rows = 0
    with path.open("w", encoding="utf-8", buffering=MIB) as file:
        written = 0
        while written < SIZE:
            written += file.write(
                f'{{"messages":[{{"role":"user","content":"Question {rows}: what happens?"}},'
                f'{{"role":"assistant","content":"{rows}. {answer}"}}]}}\n'
            )
            rows += 1
    return rows


def hash_seconds(path: Path) -> float:
    """Return the seconds to read and hash the file from the page cache, as in the upload."""
    began = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


class Memory:
    """The peak memory of the API process, and of the largest process that it starts.

    Linux records the peak of the resident memory. The proportional size (PSS) is read twenty times
    a second, and the largest value is kept.
    """

    def __init__(self, started: Started) -> None:
        self._pid = started.pids("api")[0]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.api = 0
        self.proportional = 0
        self.children = 0
        self.reason = ""

    def __enter__(self) -> Self:
        """Start measuring."""
        try:
            forget_peak(self._pid)
        except NotMeasurable as reason:
            self.reason = str(reason)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring and read the last value."""
        if self.reason:
            return
        self._done.set()
        self._thread.join()
        self.api = peak_bytes(self._pid)

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.proportional = max(self.proportional, proportional_bytes(self._pid))
            for pid in descendants(self._pid):
                try:
                    self.children = max(self.children, peak_bytes(pid))
                except (OSError, NotMeasurable):
                    continue  # it has just exited


if __name__ == "__main__":
    sys.exit(main())
