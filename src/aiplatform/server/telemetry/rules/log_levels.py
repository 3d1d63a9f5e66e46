"""The severity of log lines, read from what loggers write into them."""

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum


class Level(IntEnum):
    """The severity of a line; ``NONE`` if the line does not name one."""

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
    # Words in capitals are levels as loggers write them ("an error" in prose is not). Structured
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
"""Number of characters in which a line may name its level; later ones belong to the message."""


class Parser:
    """A reader of one stream of one attempt, line by line. All lines of a traceback are errors."""

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
        """Return the highest level of a chunk, and at which line each level begins, as pairs."""
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
    """Return a chunk's lines. Only a line feed ends a line: progress bars use carriage returns."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def levels_of(runs: Sequence[Sequence[int]], count: int) -> Iterator[Level]:
    """Yield the level of each of a chunk's ``count`` lines, from :meth:`Parser.runs`."""
    level = Level.NONE
    ends = iter([*runs, [count, 0]])
    at, following = next(ends)
    for number in range(count):
        while number == at:
            level = Level(following)
            at, following = next(ends, (count, 0))
        yield level
