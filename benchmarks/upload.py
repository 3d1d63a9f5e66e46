"""A large upload: how fast it becomes a dataset version, and what the API needs of memory for it.

The time runs from the first byte sent until the version is there: received, hashed, every row
parsed and checked, written as canonical Parquet and stored. Baseline: reading and hashing the file,
which is the least that any store by content has to do.
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
    """Write a file, upload it, compare."""
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
        # What the API has for itself, and its share of what others have in memory, too.
        figure("upload.api_memory", memory.proportional / MIB, "MiB PSS", target="< 300")
        figure("upload.api_peak_memory", memory.api / MIB, "MiB RSS")
        figure("upload.parser_peak_memory", memory.children / MIB, "MiB RSS")
    return 0


def write_rows(path: Path) -> int:
    """A JSONL file of chats; the number of its rows. No two rows are the same."""
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
    """Reading and hashing the file, from the page cache as the upload reads it."""
    began = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


class Memory:
    """The most memory of the API process, and of the largest process that it starts meanwhile.

    Linux counts the peak of what is resident; of the proportional size this keeps the largest of
    twenty readings a second.
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
        """Begin."""
        try:
            forget_peak(self._pid)
        except NotMeasurable as reason:
            self.reason = str(reason)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the last reading."""
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
                    continue  # it has just ended


if __name__ == "__main__":
    sys.exit(main())
