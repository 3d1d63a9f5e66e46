"""Precision, recall and F1 of the quality checks on planted faults, and the cost of a report.

The rows are conversations made of real sentences from the English, German, French, Spanish and
Chinese parts of chatterbot-corpus, shuffled with a fixed seed. Each kind of fault is planted into
its own rows at a known rate. The other rows are clean and reveal false alarms.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from common.conversation_generator import ConversationGenerator, add_overlaps, with_faults
from common.conversations import tokenizer, write
from common.figures import figure, progress

from aiplatform.data import canonical
from aiplatform.data.ingest import ingest
from aiplatform.data.quality.builtin_checks import CHECKS
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.check_run import CheckRun
from aiplatform.data.quality.label_errors import LabelErrors
from aiplatform.data.quality.references import Reference
from aiplatform.data.quality.report import make_report
from aiplatform.protocol.enums import DataShape

ROWS = 20_000
MIXED_ROWS = 5_000
MAX_LENGTH = 450
"""Limit in tokens; clean rows have about 200, planted long rows more than 500."""


def found_rows(path: Path, weights: Path, references: tuple[Reference, ...]) -> dict[str, set[int]]:
    """Return the rows of each finding, keyed by the finding's code."""
    context = Context(DataShape.CHAT, pq.read_schema(path), canonical.row_count(path), references)
    run = CheckRun(context, CHECKS, weights, MAX_LENGTH)
    run.execute(path, lambda _: None)
    found: dict[str, set[int]] = {}
    for finding in run.findings():
        found.setdefault(finding.code, set()).update(finding.rows)
    return found


def print_clean_rates(name: str, found: dict[str, set[int]], rows: int) -> None:
    """Print the share of clean rows in which each check finds something."""
    for code, named in sorted(found.items()):
        figure(f"quality.{name}.{code}", round(len(named) / rows, 5), unit="of rows")
    if not found:
        progress(f"{name}: nothing is found in {rows} rows")


def print_accuracy(found: dict[str, set[int]], truth: dict[str, set[int]]) -> None:
    """Print precision, recall and F1 of each check."""
    for code, wanted in truth.items():
        got = found.get(code, set())
        hits = len(got & wanted)
        precision, recall = hits / max(len(got), 1), hits / len(wanted)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        progress(f"{code}: precision {precision:.3f}, recall {recall:.3f}, found {len(got)}")
        target = None
        if code == "near_duplicates":
            figure(
                "quality.near_duplicates.precision", round(precision, 3), unit="", target=">= 0.99"
            )
            figure("quality.near_duplicates.recall", round(recall, 3), unit="", target=">= 0.97")
        elif not code.startswith(UNTARGETED):
            target = ">= 0.98"
        figure(f"quality.{code}.f1", round(f1, 3), unit="", target=target)


UNTARGETED = ("markup", "refusals", "leakage", "contamination", "whitespace")
"""Checks without a target: the corpus itself has such faults, which would count as errors."""


def measure_label_errors(w: ConversationGenerator, scratch: Path) -> None:
    """Print the precision and recall of the check that finds wrong labels."""
    rows = [
        {"text": w.text(1, 3, language), "label": language}
        for language in ("english", "german", "french", "spanish", "chinese")
        for _ in range(400)
    ]
    wrong = set(w.rng.sample(range(len(rows)), len(rows) // 20))
    for index in wrong:
        others = {row["label"] for row in rows} - {rows[index]["label"]}
        rows[index]["label"] = w.rng.choice(sorted(others))
    lines = scratch / "labels.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest(lines, scratch / "labels.parquet", filename=lines.name)
    path = scratch / "labels.parquet"
    context = Context(DataShape.CLASSIFICATION, pq.read_schema(path), len(rows))
    run = CheckRun(context, [LabelErrors], None, 0)
    run.execute(path, lambda _: None)
    got = {row for finding in run.findings() for row in finding.rows}
    figure("quality.label_errors.precision", round(len(got & wrong) / max(len(got), 1), 3), unit="")
    figure("quality.label_errors.recall", round(len(got & wrong) / len(wrong), 3), unit="")


def measure_cost(path: Path) -> None:
    """Print the time and memory of a full report without token counts."""
    started = time.monotonic()
    report: dict[str, Any] = make_report(
        path, tokenizer=None, max_length=2048, progress=lambda _: None
    )
    seconds = time.monotonic() - started
    figure("quality.report_100k", round(seconds, 2), unit="s", target="<= 15")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    progress(f"score {report['score']}, peak memory of this process {peak:.0f} MiB")


def main() -> int:
    """Measure the checks on rows with planted faults, then a report on 100,000 rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=20, help="of the sentences and the faults")
    writer = ConversationGenerator(parser.parse_args().seed)
    with tempfile.TemporaryDirectory(prefix="aip-quality-") as scratch:
        path = Path(scratch) / "rows.parquet"
        progress(f"planting faults into {ROWS} rows")
        rows, truth = with_faults(writer, ROWS)
        evaluation, passages = add_overlaps(writer, rows, truth)
        write(path, rows)
        weights = tokenizer(Path(scratch) / "weights", writer)
        references = []
        for role, others in (("evaluation", evaluation), ("benchmark", passages)):
            write(Path(scratch) / f"{role}.parquet", others)
            references.append(Reference(role, role, Path(scratch) / f"{role}.parquet"))
        print_accuracy(found_rows(path, weights, tuple(references)), truth)
        write(path, [writer.row() for _ in range(ROWS)])
        print_clean_rates("clean", found_rows(path, weights, tuple(references)), ROWS)
        for name, make in (
            ("chinese_with_terms", writer.chinese_with_terms),
            ("english_with_quotations", writer.english_with_quotations),
        ):
            write(path, [make() for _ in range(MIXED_ROWS)])
            named = found_rows(path, weights, ())
            print_clean_rates(
                name, {c: rows for c, rows in named.items() if "language" in c}, MIXED_ROWS
            )
        measure_label_errors(writer, Path(scratch))
        progress("a report of 100,000 rows")
        write(path, [writer.row() for _ in range(100_000)])
        measure_cost(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
