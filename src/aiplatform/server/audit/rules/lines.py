"""The format of exports and archives: lines of JSON, in which each row is its canonical text.

The first line names the kind of file; the last contains the counts, so that a truncated file is
recognised. A file of whole seals contains each seal followed by its rows. A selection contains
rows, each followed by the proof that its seal covers it, and finally the seals. Verification needs
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

MAX_ROWS = 1_000_000
"""Maximum number of rows that a seal in a file may claim to cover.

This is a hundred times the size of real seals. Without a limit, verifying a forged seal that claims
every possible number would exhaust the memory.
"""


class InvalidLineError(ValueError):
    """A line that can't be part of an export from the platform."""


def header_line(kind: str, filters: Mapping[str, str] | None = None) -> str:
    """Return the first line of a file.

    The line contains the filters of a selection. A selection without filters contains all rows of
    its seals, so verification reports each absent row as missing.

    Args:
        kind: :data:`SEALS` or :data:`SELECTION`.
        filters: the filters of a selection.
    """
    content: dict[str, Any] = {"format": FORMAT, "kind": kind}
    return _line(content if filters is None else {**content, "filters": dict(filters)})


def end_line(rows: int, seals: int) -> str:
    """Return the last line of a file."""
    return _line({"end": {"rows": rows, "seals": seals}})


def seal_line(seal: Seal, signatures: Iterable[tuple[str, bytes]], *, whole: bool) -> str:
    """Return the line of a seal.

    If ``whole`` is true, the line contains the hashes of all rows, so that verification can tell
    which row was altered.
    """
    content: dict[str, Any] = {
        "id": seal.id,
        "sealed_at": seal.sealed_at,
        "ids": ranges_text(seal.ranges),
        "root": seal.root.hex(),
        "previous": seal.previous.hex(),
        "head": seal.head.hex(),
        "signatures": [{"key": key, "signature": value.hex()} for key, value in signatures],
    }
    if whole:
        content["leaves"] = base64.b64encode(b"".join(seal.leaves)).decode()
    return _line({"seal": content})


def proof_line(number: int, seal: int, index: int, path: Sequence[bytes]) -> str:
    """Return the proof line for the preceding row: its place in a seal and its path to the root."""
    content = {"row": number, "seal": seal, "index": index, "path": [step.hex() for step in path]}
    return _line({"proof": content})


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return a line's kind (``format``, ``seal``, ``row``, ``proof`` or ``end``) and content.

    Raises:
        InvalidLineError: when the line is malformed.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidLineError("it is no JSON") from error
    if isinstance(content, dict):
        if "format" in content:
            return "format", content
        for kind in ("seal", "proof", "end"):
            if len(content) == 1 and isinstance(content.get(kind), dict):
                return kind, content[kind]
        if type(content.get("id")) is int and "action" in content:
            return "row", content
    raise InvalidLineError("it is neither a row nor a seal nor a proof")


def parse_seal(content: dict[str, Any]) -> tuple[Seal, list[tuple[str, bytes]]]:
    """Parse a seal and its signatures. The seal has no leaves if the line contains none.

    Raises:
        InvalidLineError: when a field is missing or malformed.
    """
    try:
        packed = base64.b64decode(content.get("leaves", ""), validate=True)
        leaves = tuple(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES))
        seal = Seal(
            id=int(content["id"]),
            sealed_at=str(content["sealed_at"]),
            ranges=tuple(parse_ranges(content["ids"])),
            leaves=leaves,
            root=bytes.fromhex(content["root"]),
            previous=bytes.fromhex(content["previous"]),
            head=bytes.fromhex(content["head"]),
        )
        signatures = [
            (str(item["key"]), bytes.fromhex(item["signature"])) for item in content["signatures"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidLineError("it is not a seal") from error
    if size_of(seal.ranges) > MAX_ROWS:
        raise InvalidLineError(f"its seal claims more than {MAX_ROWS} rows")
    return seal, signatures


def parse_proof(content: dict[str, Any]) -> tuple[int, int, int, list[bytes]]:
    """Parse a proof into row number, seal number, index in the seal, and path to the root.

    Raises:
        InvalidLineError: when a field is missing or malformed.
    """
    try:
        path = [bytes.fromhex(step) for step in content["path"]]
        return int(content["row"]), int(content["seal"]), int(content["index"]), path
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidLineError("it is not a proof") from error


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(", ", ": "))
