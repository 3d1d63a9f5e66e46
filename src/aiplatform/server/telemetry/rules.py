"""Pure rules of telemetry: severities of log lines, summaries of metric series, and alerts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal


class Level(IntEnum):
    """The severity of a log line; ``NONE`` if the line does not name one."""

    NONE = 0
    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


WORDS = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "notice": Level.INFO,
    "warn": Level.WARNING,
    "warning": Level.WARNING,
    "err": Level.ERROR,
    "error": Level.ERROR,
    "severe": Level.ERROR,
    "critical": Level.CRITICAL,
    "fatal": Level.CRITICAL,
    "panic": Level.CRITICAL,
}
_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_MARKED = re.compile(
    # Words in capitals are levels, as loggers write them ("an error" in prose is not). Structured
    # loggers write [info ], level=info and "level": "info".
    rf"(?-i:\b(?P<upper>{_WORD.upper()})\b)"
    rf"|\[(?P<bracket>{_WORD})\s*\]"
    rf"|\b(?:level|levelname|severity)\"?\s*[=:]\s*\"?(?P<field>{_WORD})\b"
    rf"|^(?P<start>{_WORD}):\s",
    re.IGNORECASE,
)
_GLOG = re.compile(r"^([DIWEF])\d{4} \d\d:\d\d:\d\d")
_GLOG_LEVELS = dict(zip("DIWEF", list(Level)[1:], strict=True))
_WARNING = re.compile(r"^\S.*:\d+: \w*Warning: ")
_EXCEPTION = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Exit)(?:: |$)")
_TRACEBACK = "Traceback (most recent call last):"
LOOKED_AT = 160
"""Number of characters at the start of a line that are searched for its level.

Later words belong to the message.
"""


class Parser:
    """A parser for the levels of the lines in one stream of an attempt.

    All lines of a traceback count as errors, so the lines must be given in order.
    """

    def __init__(self) -> None:
        self._in_traceback = False

    def level(self, line: str) -> Level:
        """Return the level of the next line."""
        head = line[:LOOKED_AT]
        if self._in_traceback:
            # The last line of a traceback names the exception and is not indented.
            self._in_traceback = not head or head[0] in " \t+|"
            return Level.ERROR
        if head.endswith(_TRACEBACK):
            self._in_traceback = True
            return Level.ERROR
        return _marked(head)

    def runs(self, text: str) -> tuple[Level, list[list[int]]]:
        """Return the highest level in a chunk, and the points at which the level changes.

        A change is a pair of a line number (from 0) and the new level; before the first change, the
        level is ``NONE``.
        """
        highest = current = Level.NONE
        runs: list[list[int]] = []
        for number, line in enumerate(lines_of(text)):
            level = self.level(line)
            if level is not current:
                runs.append([number, int(level)])
                current = level
            highest = max(highest, level)
        return highest, runs


def _marked(head: str) -> Level:
    marked = _MARKED.search(head)
    if marked is not None:
        assert marked.lastgroup is not None
        return WORDS[marked[marked.lastgroup].lower()]
    glog = _GLOG.match(head)
    if glog is not None:
        return _GLOG_LEVELS[glog[1]]
    if _WARNING.match(head):
        return Level.WARNING
    if _EXCEPTION.match(head):
        return Level.ERROR
    return Level.NONE


def lines_of(text: str) -> list[str]:
    """Return a chunk's lines.

    Only a line feed ends a line, because progress bars use carriage returns.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def levels_of(runs: Sequence[Sequence[int]], count: int) -> Iterator[Level]:
    """Yield the level of each of a chunk's ``count`` lines.

    ``runs`` are the level changes, as returned by :meth:`Parser.runs`.
    """
    level = Level.NONE
    ends = iter([*runs, [count, 0]])
    at, following = next(ends)
    for number in range(count):
        while number == at:
            level = Level(following)
            at, following = next(ends, (count, 0))
        yield level


PIECE = 32
"""Smallest number of points summarised by a piece at the first level."""

PIECES_PER_PIECE = 8
"""Smallest number of pieces from the level below that a piece at a higher level summarises.

A chart of 250 buckets reads at most about a thousand pieces, at any length of the series.
"""

LEVELS = 4
"""Number of levels of summaries (``metric_levels``) that are kept for each series.

At the last level, ten million points make about six hundred pieces.
"""

LEAST_STEP = -(2**63)
"""First step of the first piece of each series, so that no step comes before it."""

MOST_STEP = 2**63 - 1
MAX_STEP = 2**53 - 1
"""Largest accepted step: the largest whole number that JSON represents exactly everywhere."""

MAX_SECONDS = 253_402_300_799.0
"""Latest accepted time, the end of the year 9999, in seconds since the epoch."""

_LOWER = re.compile(
    r"(^|[^a-z])(loss|error|err|perplexity|ppl|wer|cer|mae|mse|rmse|latency|divergence|nll)([^a-z]|$)"
)
_HIGHER = re.compile(
    r"(^|[^a-z])(acc|accuracy|f1|auc|auroc|precision|recall|bleu|rouge\w*|reward|score|map|ndcg|"
    r"throughput|margin|margins|accuracies|rewards)([^a-z0-9]|$)"
)


def bucket_count(points: int, *, of_each: int = 2) -> int:
    """Return the number of buckets for a chart with at most ``points`` points.

    Each bucket yields ``of_each`` points; both ends of the series are added.
    """
    return max(1, (points - 2) // of_each)


def better(key: str) -> Literal["lower", "higher"] | None:
    """Return whether lower or higher values of a metric are better, or None if unknown."""
    name = key.lower()
    if _LOWER.search(name):
        return "lower"
    if _HIGHER.search(name):
        return "higher"
    return None


def summarise_series(row: Any) -> dict[str, Any]:
    """Return a series' summary from a row of ``queries.summary``.

    ``best`` is set if the metric's name says whether lower or higher is better. NaN never counts as
    the smallest or largest value; ``nan_step`` is the first step with NaN.
    """
    found: dict[str, Any] = {
        "points": row.points,
        "first": row.first_value,
        "first_step": row.first_step,
        "last": row.last_value,
        "last_step": row.last_step,
    }
    if row.low is not None:
        found |= {"min": row.low[0], "min_step": int(row.low[1])}
        found |= {"max": row.high[0], "max_step": int(-row.high[1])}
        direction = better(row.key)
        if direction is not None:
            end = "min" if direction == "lower" else "max"
            found |= {"best": found[end], "best_step": found[f"{end}_step"]}
    if row.nan is not None:
        found["nan_step"] = int(row.nan[0])
    return found


IDLE_PERCENT = 5.0
IDLE_SECONDS = 600.0
NEAR_SHARE = 0.95
GPU_NEAR_SHARE = 0.97
"""Used share of a GPU's memory from which the memory counts as nearly exhausted.

The share is higher than for other memory because frameworks don't return allocated memory, and
model servers allocate 90 % on purpose.
"""
DISK_FREE_SHARE = 0.05
THROTTLED_SECONDS = 30.0
NEAR_SECONDS = 10.0
REARM_SECONDS = 60.0
"""Seconds for which a condition must be absent before it can raise another alert."""


class AlertKind(StrEnum):
    """The condition that raised an alert."""

    DISK_NEAR = "disk_near"
    GPU_IDLE = "gpu_idle"
    GPU_MEMORY_NEAR = "gpu_memory_near"
    GPU_THROTTLED = "gpu_throttled"
    MEMORY_NEAR = "memory_near"


TEXTS: dict[AlertKind, dict[str, str]] = {
    AlertKind.DISK_NEAR: {
        "en": "the disk of its worker is nearly full",
        "zh": "所在机器的磁盘即将写满",
    },
    AlertKind.GPU_IDLE: {
        "en": "its GPUs have been idle for 10 minutes",
        "zh": "GPU 已空闲 10 分钟",
    },
    AlertKind.GPU_MEMORY_NEAR: {
        "en": "the memory of a GPU is nearly used up",
        "zh": "GPU 显存即将用尽",
    },
    AlertKind.GPU_THROTTLED: {
        "en": "a GPU is slowed down by heat or power",
        "zh": "GPU 因过热或供电不足而降频",
    },
    AlertKind.MEMORY_NEAR: {"en": "its memory is nearly used up", "zh": "内存即将用尽"},
}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, with the value measured at that moment (percent or MiB)."""

    kind: AlertKind
    value: float


@dataclass(slots=True)
class _Condition:
    since: float | None = None
    gone_since: float | None = None
    raised: bool = False


@dataclass(slots=True)
class Watch:
    """A monitor that checks one attempt's samples for conditions that raise an alert.

    ``memory_limit_mb`` is the memory in MiB that the task reserved, or 0 if it reserved none.
    """

    memory_limit_mb: float = 0.0
    _conditions: dict[AlertKind, _Condition] = field(default_factory=dict)

    def check(self, now: float, sample: Mapping[str, float]) -> list[Alert]:
        """Return the alerts that are due now. Conditions without values in ``sample`` are ignored.

        Args:
            now: the current time in seconds on a monotonic clock.
            sample: the values by key, as in :mod:`runner.sampling`; keys of the machine's values
                begin with ``machine.``.
        """
        raised = []
        for kind, value, holds, seconds in self._conditions_in(sample):
            condition = self._conditions.setdefault(kind, _Condition())
            if holds:
                condition.gone_since = None
                condition.since = now if condition.since is None else condition.since
                if not condition.raised and now - condition.since >= seconds:
                    condition.raised = True
                    raised.append(Alert(kind, round(value, 1)))
                continue
            condition.since = None
            condition.gone_since = now if condition.gone_since is None else condition.gone_since
            if now - condition.gone_since >= REARM_SECONDS:
                condition.raised = False
        return raised

    def _conditions_in(
        self, sample: Mapping[str, float]
    ) -> Iterator[tuple[AlertKind, float, bool, float]]:
        busy = [sample[key] for key in sample if _is_gpu(key, "percent")]
        if busy:
            yield AlertKind.GPU_IDLE, max(busy), max(busy) < IDLE_PERCENT, IDLE_SECONDS
        shares = [
            sample[key] / total
            for key in sample
            if _is_gpu(key, "memory_mb") and (total := sample.get(f"{key}_total", 0.0)) > 0
        ]
        if shares:
            share = max(shares)
            yield AlertKind.GPU_MEMORY_NEAR, share * 100, share >= GPU_NEAR_SHARE, NEAR_SECONDS
        throttled = [sample[key] for key in sample if _is_gpu(key, "throttled")]
        if throttled:
            yield AlertKind.GPU_THROTTLED, 100.0, max(throttled) > 0, THROTTLED_SECONDS
        share = sample.get("machine.memory_percent", 0.0) / 100
        if self.memory_limit_mb:
            share = max(share, sample.get("memory_mb", 0.0) / self.memory_limit_mb)
        yield AlertKind.MEMORY_NEAR, share * 100, share >= NEAR_SHARE, NEAR_SECONDS
        full = sample.get("machine.disk_percent")
        if full is not None:
            near = full >= 100 * (1 - DISK_FREE_SHARE)
            yield AlertKind.DISK_NEAR, full, near, NEAR_SECONDS


def _is_gpu(key: str, measure: str) -> bool:
    device, _, rest = key.partition(".")
    return device.startswith("gpu") and rest == measure
