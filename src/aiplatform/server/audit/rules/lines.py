"""The lines of exports and archives: JSON, in which each row is its canonical text.

The first line names the kind of the file; the last contains the counts, so that a truncated file is
recognised. A file of whole seals contains each seal followed by its rows. A selection contains
rows, each followed by the proof that its seal covers it, and then the seals. Verification needs
nothing else: the hash of a row's line is its leaf.
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
"""Maximum number of rows that a seal in a file may claim: a hundred times what a seal covers.

Otherwise, verifying a forged seal that claims every possible number would exhaust the memory.
"""


class NotALine(ValueError):
    """A line that no export of the platform contains."""


def header_line(kind: str, filters: Mapping[str, str] | None = None) -> str:
    """Return the first line of a file.

    A selection without filters contains every row of its seals, so a row that is not there is
    reported as missing.

    Args:
        kind: :data:`SEALS` or :data:`SELECTION`.
        filters: the filters of a selection.
    """
    said: dict[str, Any] = {"format": FORMAT, "kind": kind}
    return _line(said if filters is None else {**said, "filters": dict(filters)})


def end_line(rows: int, seals: int) -> str:
    """Return the last line of a file."""
    return _line({"end": {"rows": rows, "seals": seals}})


def seal_line(seal: Seal, signatures: Iterable[tuple[str, bytes]], *, whole: bool) -> str:
    """Return the line of a seal.

    If ``whole`` is true, it contains the leaf hashes, so that the row that does not match can be
    named.
    """
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
    """Return the line that proves the preceding row's place in a seal, by its path to the root."""
    said = {"row": number, "seal": seal, "index": index, "path": [step.hex() for step in path]}
    return _line({"proof": said})


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return a line's kind (``format``, ``seal``, ``row``, ``proof`` or ``end``) and content.

    Raises:
        NotALine: when the line has another form.
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
    """Return a seal with its signatures. It has no leaves if the line contains none.

    Raises:
        NotALine: when something is missing or has another form.
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
        raise NotALine("it is not a seal") from error
    if size_of(seal.ranges) > MOST_ROWS:
        raise NotALine(f"its seal claims more than {MOST_ROWS} rows")
    return seal, signatures


def parse_proof(said: dict[str, Any]) -> tuple[int, int, int, list[bytes]]:
    """Return a proof: number of the row, number of the seal, index in it, and path to the root.

    Raises:
        NotALine: when something is missing or has another form.
    """
    try:
        path = [bytes.fromhex(step) for step in said["path"]]
        return int(said["row"]), int(said["seal"]), int(said["index"]), path
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotALine("it is not a proof") from error


def _line(said: dict[str, Any]) -> str:
    return json.dumps(said, separators=(", ", ": "))
