"""Exports and archives: lines of JSON, of which each row is its canonical text.

The first line says what the file is, the last how much there was, so that a cut-off file is known
for one. Between them are, in a file of whole seals, each seal followed by its rows; in a selection,
rows each followed by the proof that its seal covers it, and the seals after them. Whoever verifies
needs nothing else: the hash of a row's line is its leaf.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiplatform.server.audit.rules.chain import Seal, parse_ranges, ranges_text, size_of
from aiplatform.server.audit.rules.merkle import HASH_BYTES

FORMAT = "aiplatform-audit/1"
SEALS, SELECTION = "seals", "selection"

MOST_ROWS = 1_000_000
"""Rows that one seal may claim in a file: a hundred times what a seal covers. A forged seal that
claims every number there is would otherwise fill the memory of whoever verifies it."""


class NotALine(ValueError):
    """A line that no export of ours has."""


def header_line(kind: str, filters: Mapping[str, str] | None = None) -> str:
    """The first line; ``kind`` is :data:`SEALS` or :data:`SELECTION`, of what ``filters`` let in.

    A selection without any has every row of its seals, so that one that is not there is missing.
    """
    said: dict[str, Any] = {"format": FORMAT, "kind": kind}
    return _line(said if filters is None else {**said, "filters": dict(filters)})


def end_line(rows: int, seals: int) -> str:
    """The last line."""
    return _line({"end": {"rows": rows, "seals": seals}})


def seal_line(seal: Seal, signatures: Iterable[tuple[str, bytes]], *, whole: bool) -> str:
    """A seal; ``whole`` with the leaves, which tell the row that does not fit."""
    said: dict[str, Any] = {
        "id": seal.id,
        "sealed_at": seal.sealed_at,
        "ids": ranges_text(seal.ranges),
        "root": seal.root.hex(),
        "previous": seal.previous.hex(),
        "head": seal.head.hex(),
        "signatures": [{"key": key, "signature": value.hex()} for key, value in signatures],
    }
    if whole:
        said["leaves"] = base64.b64encode(b"".join(seal.leaves)).decode()
    return _line({"seal": said})


def proof_line(number: int, seal: int, index: int, path: Sequence[bytes]) -> str:
    """Return the line that proves where in a seal the row before it is, by its path to the root."""
    said = {"row": number, "seal": seal, "index": index, "path": [step.hex() for step in path]}
    return _line({"proof": said})


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """What a line is (``format``, ``seal``, ``row``, ``proof``, ``end``) and what it says.

    Raises:
        NotALine: for anything else.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotALine("it is no JSON") from error
    if isinstance(said, dict):
        if "format" in said:
            return "format", said
        for kind in ("seal", "proof", "end"):
            if len(said) == 1 and isinstance(said.get(kind), dict):
                return kind, said[kind]
        if type(said.get("id")) is int and "action" in said:
            return "row", said
    raise NotALine("it is neither a row nor a seal nor a proof")


def parse_seal(said: dict[str, Any]) -> tuple[Seal, list[tuple[str, bytes]]]:
    """A seal with its signatures; without leaves where the line has none.

    Raises:
        NotALine: when something is missing or of another shape.
    """
    try:
        packed = base64.b64decode(said.get("leaves", ""), validate=True)
        leaves = tuple(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES))
        seal = Seal(
            id=int(said["id"]),
            sealed_at=str(said["sealed_at"]),
            ranges=tuple(parse_ranges(said["ids"])),
            leaves=leaves,
            root=bytes.fromhex(said["root"]),
            previous=bytes.fromhex(said["previous"]),
            head=bytes.fromhex(said["head"]),
        )
        signatures = [
            (str(item["key"]), bytes.fromhex(item["signature"])) for item in said["signatures"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NotALine("it is no seal") from error
    if size_of(seal.ranges) > MOST_ROWS:
        raise NotALine(f"its seal claims more than {MOST_ROWS} rows")
    return seal, signatures


def parse_proof(said: dict[str, Any]) -> tuple[int, int, int, list[bytes]]:
    """A proof: the row's number, its seal's, its place there, and the way to the root.

    Raises:
        NotALine: when something is missing or of another shape.
    """
    try:
        path = [bytes.fromhex(step) for step in said["path"]]
        return int(said["row"]), int(said["seal"]), int(said["index"]), path
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotALine("it is no proof") from error


def _line(said: dict[str, Any]) -> str:
    return json.dumps(said, separators=(", ", ": "))
