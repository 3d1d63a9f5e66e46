"""How severe the lines of a log are, read from what loggers put into them."""

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum


class Level(IntEnum):
    """Severity; ``NONE`` is a line that says none."""

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
    # INFO as loggers write it ("an error" in prose is no level); [info ], level=info and
    # "level": "info" as structured ones do.
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
"""Characters of a line that may name its level; further on it is part of the message."""


class Parser:
    """Reads one stream of one attempt, line by line; a traceback is one error of many lines."""

    def __init__(self) -> None:
        self._in_traceback = False

    def level(self, line: str) -> Level:
        """The level of the next line."""
        head = line[:LOOKED_AT]
        if self._in_traceback:
            # Its last line names the exception and is not indented.
            self._in_traceback = not head or head[0] in " \t+|"
            return Level.ERROR
        if head.endswith(_TRACEBACK):
            self._in_traceback = True
            return Level.ERROR
        return _marked(head)

    def runs(self, text: str) -> tuple[Level, list[list[int]]]:
        """The highest level of a chunk, and from which line on which level, as pairs."""
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
    """A chunk's lines. Only a line feed ends one; a progress bar's carriage returns do not."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def levels_of(runs: Sequence[Sequence[int]], count: int) -> Iterator[Level]:
    """The level of each of a chunk's ``count`` lines, see :meth:`Parser.runs`."""
    level = Level.NONE
    ends = iter([*runs, [count, 0]])
    at, following = next(ends)
    for number in range(count):
        while number == at:
            level = Level(following)
            at, following = next(ends, (count, 0))
        yield level
