"""Rows for benchmarks, made from real sentences shuffled with a fixed seed."""

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
    """Return English sentences from chatterbot-corpus, except very short and very long ones."""
    found: set[str] = set()
    for file in files("chatterbot-corpus") or []:
        if "/english/" in str(file) and file.suffix == ".yml":
            loaded = yaml.safe_load(Path(str(file.locate())).read_text("utf-8"))
            for turn in loaded["conversations"]:
                found.update(str(text).strip() for text in turn)
    return sorted(text for text in found if 6 <= len(text) <= 160 and "\n" not in text)


@cache
def words() -> list[str]:
    """Return all words of those sentences, including repetitions."""
    return " ".join(sentences()).split()


@cache
def phrases(length: int) -> list[str]:
    """Return 100,000 texts of ``length`` words each."""
    rng = random.Random(SEED)
    return [" ".join(rng.choices(words(), k=length)) for _ in range(100_000)]


def chats(count: int) -> Iterator[bytes]:
    """Yield conversations of about 930 bytes, as JSON lines."""
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
    """Yield rows with id, text, label and score, of about 180 bytes, as JSON lines.

    Args:
        count: Number of rows.
        changed: Share of rows, at random positions, whose text is replaced.
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
    """Yield rows with id, text and label, of about 80 bytes; the last text is ``needle``."""
    rng = random.Random(SEED)
    known = phrases(6)
    for number in range(count):
        text = "needle" if number == count - 1 else rng.choice(known)
        yield orjson.dumps({"id": number, "text": text, "label": number % 7})


def write_lines(path: Path, lines: Iterator[bytes]) -> int:
    """Write lines to a file and return its size in bytes."""
    with path.open("wb", buffering=1 << 20) as file:
        for line in lines:
            file.write(line + b"\n")
        return file.tell()
