"""Run this directory's benchmarks and print their figures as a table and as JSON.

Usage: ``python benchmarks/run.py [NAME …]``; without names, all are run. Each benchmark is a
program that prints lines of JSON with ``name``, ``value``, ``unit``, ``target`` (an operator and a
number, or a maximum), ``baseline`` and ``baseline_name``. All figures are written to
``bench-results.json``.

The exit code is 1 if a benchmark failed, and 3 with ``--strict`` if a target was missed.
"""

import argparse
import json
import operator
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "bench-results.json"
PARTS = {"run", "plain_trl"}
"""Programs in this directory that are not benchmarks themselves."""

LIMIT_SECONDS = 1800
OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def main() -> int:
    """Run the chosen benchmarks and print their figures."""
    known = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem not in PARTS}
    parser = argparse.ArgumentParser(description="Run benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--strict", action="store_true", help="exit 3 when a target was missed")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no benchmark is named {', '.join(unknown)}; there are {', '.join(known)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = datetime.now(UTC)
    figures: list[dict[str, Any]] = []
    failed: list[str] = []
    for name in options.names or known:
        print(f"{name} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        if not run(name, known[name], figures):
            failed.append(name)
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    for entry in figures:
        entry["met"] = is_met(entry["value"], entry.get("target"))
        entry["ratio"] = ratio(entry["value"], entry.get("baseline"))
    RESULTS.write_text(
        json.dumps(
            {
                "started_at": began.isoformat(timespec="seconds"),
                "machine": machine(),
                "figures": figures,
                "failed": failed,
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )
    # In a log, the table may be wider than in a terminal.
    Console(width=None if sys.stdout.isatty() else 160).print(table(figures))
    print(f"As JSON: {RESULTS.name}")
    if failed:
        print(f"Did not run to their end: {', '.join(failed)}", file=sys.stderr)
        return 1
    missed = [entry["name"] for entry in figures if entry["met"] is False]
    return 3 if options.strict and missed else 0


def run(name: str, path: Path, figures: list[dict[str, Any]]) -> bool:
    """Run one benchmark and add its figures; return False if it fails or takes too long."""
    # It gets its own session, so that the processes it starts can be stopped with it.
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"  gave up after {LIMIT_SECONDS} s", file=sys.stderr)
            out = _end(process)
        except (KeyboardInterrupt, SystemExit):
            _end(process)
            raise
    for line in out.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            print(f"  not a figure: {line}", file=sys.stderr)
            continue
        figures.append({"benchmark": name, **entry})
    return process.returncode == 0


def _end(process: "subprocess.Popen[str]") -> str:
    """Stop a benchmark and return its output. A SIGINT lets it stop its platform first."""
    for number, seconds in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=seconds)[0] or ""
        except subprocess.TimeoutExpired:
            continue
    return ""


def is_met(value: float, target: Any) -> bool | None:
    """Return True if a figure meets its target, or None if it has no target."""
    match target:
        case None:
            return None
        case int() | float():
            return value <= target
        case str():
            for sign in sorted(OPERATORS, key=len, reverse=True):
                if target.startswith(sign):
                    return bool(OPERATORS[sign](value, float(target.removeprefix(sign))))
    raise ValueError(f"not a target: {target!r}; write it as '<= 250'")


def ratio(value: float, baseline: float | None) -> float | None:
    """Return a figure as a multiple of its baseline, or None without a baseline."""
    return round(value / baseline, 3) if baseline else None


def table(figures: list[dict[str, Any]]) -> Table:
    """Return the figures as a printable table."""
    drawn = Table(box=None, pad_edge=False)
    for title in ("figure", "value", "target", "", "baseline", "ratio"):
        drawn.add_column(title, justify="right" if title in {"value", "ratio"} else "left")
    for entry in figures:
        unit = entry["unit"]
        target = entry.get("target")
        if isinstance(target, int | float):
            target = f"<= {target:g}"
        met = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[entry["met"]]
        baseline = entry.get("baseline")
        drawn.add_row(
            str(entry["name"]),
            f"{entry['value']:,.4g} {unit}",
            f"{target} {unit}" if target else "",
            met,
            "" if baseline is None else f"{baseline:,.4g} {unit} ({entry.get('baseline_name')})",
            "" if entry["ratio"] is None else f"{entry['ratio']:.2f} x",
        )
    return drawn


def machine() -> dict[str, Any]:
    """Return a description of this machine."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
