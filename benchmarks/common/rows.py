"""Rows for benchmarks: real sentences, shuffled by a fixed seed, and edits of them."""

import random
from collections.abc import Iterator
from functools import cache
from importlib.metadata import files
from pathlib import Path

import orjson
import yaml

SEED = 4


@cache
def sentences() -> list[str]:
    """English sentences that people wrote, from chatterbot-corpus."""
    found: set[str] = set()
    for file in files("chatterbot-corpus") or []:
        if "/english/" in str(file) and file.suffix == ".yml":
            loaded = yaml.safe_load(Path(str(file.locate())).read_text("utf-8"))
            for turn in loaded["conversations"]:
                found.update(str(text).strip() for text in turn)
    return sorted(text for text in found if 6 <= len(text) <= 160 and "\n" not in text)


@cache
def words() -> list[str]:
    """The words of those sentences, as often as they are in them."""
    return " ".join(sentences()).split()


@cache
def phrases(length: int) -> list[str]:
    """A hundred thousand rows of so many of those words."""
    rng = random.Random(SEED)
    return [" ".join(rng.choices(words(), k=length)) for _ in range(100_000)]


def chats(count: int) -> Iterator[bytes]:
    """Conversations of some 930 bytes, as lines of JSON."""
    rng = random.Random(SEED)
    known = phrases(24)
    for number in range(count):
        question, *answer = rng.choices(known, k=6)
        yield orjson.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"{question} ({number})"},
                    {"role": "assistant", "content": " ".join(answer)},
                ]
            }
        )


def texts(count: int, changed: float = 0.0) -> Iterator[bytes]:
    """Rows of an id, a text, a label and a score, some 180 bytes, as lines of JSON.

    Args:
        count: how many.
        changed: the share of rows, scattered, whose text is another.
    """
    rng = random.Random(SEED)
    edits = random.Random(SEED + 1)
    known = words()
    for number in range(count):
        text = " ".join(rng.choices(known, k=24))
        score = rng.randrange(1000) / 1000
        if changed and edits.random() < changed:
            text = " ".join(edits.choices(known, k=24))
        yield orjson.dumps({"id": number, "text": text, "label": number % 7, "score": score})


def short_texts(count: int) -> Iterator[bytes]:
    """The same in some 80 bytes; the text of the last row has the word ``needle``."""
    rng = random.Random(SEED)
    known = phrases(6)
    for number in range(count):
        text = "needle" if number == count - 1 else rng.choice(known)
        yield orjson.dumps({"id": number, "text": text, "label": number % 7})


def write_lines(path: Path, lines: Iterator[bytes]) -> int:
    """Write lines to a file; its size in bytes."""
    with path.open("wb", buffering=1 << 20) as file:
        for line in lines:
            file.write(line + b"\n")
        return file.tell()
