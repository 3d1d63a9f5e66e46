"""Time and memory of a quality report, with and without exact token counts.

The conversations are those of ``quality``. Each report is made in its own process. Its memory is
the sum of the peaks of this process and its child processes, even if the peaks occurred at
different times. With token counts, the baseline is the time that the tokenizer alone takes for the
same texts, in batches and in the same process. ``tokens_add`` is the time that counting adds to a
report, as a multiple of this baseline.

``--large`` adds a report on a million rows. ``--short N`` adds one on N million rows of twelve
words, some of them copies, which shows that memory doesn't grow with the number of rows.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from common.conversation_generator import ConversationGenerator
from common.conversations import tokenizer, write
from common.figures import figure, progress
from common.rows import words

from aiplatform.data.canonical import CanonicalWriter, iter_batches
from aiplatform.data.quality.report import make_report
from aiplatform.runtime.launcher import children_of

ROWS = 100_000
LARGE = 10
"""Factor by which ``--large`` multiplies the number of rows."""

BATCH = 1000


def main() -> int:
    """Create the rows and measure each report in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="a million rows as well")
    parser.add_argument("--short", type=int, default=0, help="so many million short rows as well")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        rows, weights = arguments.one
        print(json.dumps(measure(Path(rows), Path(weights) if weights else None)))
        return 0
    with tempfile.TemporaryDirectory(prefix="aip-report-") as scratch:
        writer = ConversationGenerator(20)
        rows = Path(scratch) / "rows.parquet"
        weights = tokenizer(Path(scratch) / "weights", writer)
        progress(f"{ROWS} rows")
        write(rows, (writer.row() for _ in range(ROWS)))
        plain, counted = measure_in_process(rows, None), measure_in_process(rows, weights)
        figure("report.seconds", plain["seconds"], "s", target="<= 15")
        figure("report.memory", plain["memory"], "MiB", target="<= 1024")
        figure(
            "report.with_tokens", counted["seconds"], "s",
            target=f"<= {1.7 * counted['tokenizer']:.3f}",
            baseline=counted["tokenizer"], baseline_name="tokenizer alone",
        )  # fmt: skip
        more = counted["seconds"] - plain["seconds"]
        figure("report.tokens_add", more / counted["tokenizer"], "x", target="<= 1.7")
        figure("report.with_tokens.memory", counted["memory"], "MiB", target="<= 1024")
        if arguments.large:
            large = Path(scratch) / "large.parquet"
            write(large, (writer.row() for _ in range(LARGE * ROWS)))
            measured = measure_in_process(large, None)
            figure("report.large.seconds", measured["seconds"], "s")
            figure("report.large.memory", measured["memory"], "MiB", target="<= 1024")
        if arguments.short:
            short = Path(scratch) / "short.parquet"
            write_short(short, arguments.short * 1_000_000)
            measured = measure_in_process(short, None)
            figure("report.short.seconds", measured["seconds"], "s")
            figure("report.short.memory", measured["memory"], "MiB", target="<= 1024")
            figure("report.short.own_memory", measured["own_memory"], "MiB")
            counted = measure_in_process(short, weights)
            figure(
                "report.short.with_tokens", counted["seconds"], "s",
                baseline=counted["tokenizer"], baseline_name="tokenizer alone",
            )  # fmt: skip
            figure("report.short.with_tokens.memory", counted["memory"], "MiB", target="<= 1024")
    return 0


def write_short(path: Path, rows: int) -> None:
    """Write texts of twelve words; in each 100 rows, two are copies and two differ in one word."""
    schema = pa.schema(
        [("text", pa.string())], metadata={"aiplatform.shape": "text", "aiplatform.json": "[]"}
    )
    with CanonicalWriter(path, schema) as writer:
        made = short_texts()
        for _ in range(0, rows, 10_000):
            texts = [next(made) for _ in range(10_000)]
            writer.write(pa.record_batch([pa.array(texts)], schema=schema))


def short_texts() -> Iterator[str]:
    """Yield an endless sequence of texts for :func:`write_short`."""
    rng = random.Random(7)
    known = words()
    kept = [rng.choices(known, k=12) for _ in range(1000)]
    while True:
        for number in range(100):
            text = rng.choices(known, k=12)
            if number < 4:
                text = list(rng.choice(kept))
            if 2 <= number < 4:
                text[rng.randrange(12)] = rng.choice(known)
            yield " ".join(text)


def measure_in_process(rows: Path, weights: Path | None) -> dict[str, float]:
    """Run :func:`measure` in its own process."""
    command = [
        sys.executable,
        __file__,
        "--one",
        str(rows),
        "" if weights is None else str(weights),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    progress(", ".join(f"{name} {value:.1f}" for name, value in measured.items()))
    return measured


def measure(rows: Path, weights: Path | None) -> dict[str, float]:
    """Return seconds and peak memory of a report, and the tokenizer's time for the same texts."""
    monitor = MemoryMonitor()
    began = time.perf_counter()
    make_report(rows, tokenizer=weights, max_length=2048, progress=lambda _: None)
    measured = {"seconds": time.perf_counter() - began, **monitor.stop()}
    if weights is not None:
        measured["tokenizer"] = tokenizer_alone(rows, weights)
    return measured


class MemoryMonitor:
    """A monitor of the memory of this process and its children, sampled ten times a second."""

    def __init__(self) -> None:
        self._peaks: dict[int, float] = {}
        self._peak_own = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            self._sample()

    def _sample(self) -> None:
        own = 0.0
        for pid in (os.getpid(), *children_of(os.getpid())):
            try:
                memory = memory_of(pid)
            except OSError:
                continue  # it has exited in the meantime
            # The peak so far. The peak reported by `getrusage` would start from the parent's
            # memory.
            self._peaks[pid] = memory.get("VmHWM", self._peaks.get(pid, 0.0))
            own += memory.get("RssAnon", 0.0)
        self._peak_own = max(self._peak_own, own)

    def stop(self) -> dict[str, float]:
        """Stop sampling; return the sum of all peaks, and the peak without mapped files, in MiB."""
        self._stopped.set()
        self._thread.join()
        self._sample()
        return {"memory": sum(self._peaks.values()), "own_memory": self._peak_own}


def memory_of(pid: int) -> dict[str, float]:
    """Return a process's memory figures in MiB, from /proc; empty for a zombie process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(value) / 1024 for name, value, _ in memory}


def tokenizer_alone(rows: Path, weights: Path) -> float:
    """Return the seconds that the tokenizer takes for all texts or message contents."""
    from tokenizers import Tokenizer

    alone = Tokenizer.from_file(str(weights / "tokenizer.json"))
    seconds = 0.0
    for batch in iter_batches(rows):
        for start in range(0, batch.num_rows, BATCH):
            texts = [text_of(row) for row in batch.slice(start, BATCH).to_pylist()]
            began = time.perf_counter()
            alone.encode_batch_fast(texts, add_special_tokens=False)
            seconds += time.perf_counter() - began
    return seconds


def text_of(row: dict[str, Any]) -> str:
    """Return the text of a row whose tokens are counted."""
    if "messages" in row:
        return "\n".join(message["content"] for message in row["messages"])
    return str(row["text"])


if __name__ == "__main__":
    sys.exit(main())
