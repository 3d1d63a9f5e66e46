"""Verification of an exported or archived file, without a database.

The file is read line by line, so a file of any size needs little memory. It may be compressed with
gzip. In a selection, the seals come after the rows, and the proofs are kept in memory until then: a
few hundred bytes per row.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from aiplatform.server.audit.rules import lines
from aiplatform.server.audit.rules.chain import (
    GENESIS,
    Head,
    Seal,
    head_of,
    numbers_in,
    row_leaf,
)
from aiplatform.server.audit.rules.findings import Kind, Verdict
from aiplatform.server.audit.rules.merkle import root_by
from aiplatform.server.audit.rules.signatures import is_signed, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_LINE_BYTES = 64 << 20


def verify_file(
    path: Path, *, expected: Sequence[Head] = (), keys: Sequence["Ed25519PublicKey"] = ()
) -> Verdict:
    """Check a file against its own seals, heads (hashes of seals) kept elsewhere, and signatures.

    Raises:
        OSError: when the file can't be read.
    """
    verifier = _FileVerifier(expected, keys)
    with path.open("rb") as file:
        try:
            for line in read_lines(file):
                if not verifier.check_line(line):
                    break
        except ValueError as error:
            verifier.verdict.add(Kind.NOT_A_TRAIL, f"the file can't be read on: {error}")
    return verifier.finish()


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, which may be compressed.

    Raises:
        ValueError: when a line is too long for an export, or the file can't be decompressed.
    """
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    source = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file
    while line := _read_line(source):
        if len(line) == MAX_LINE_BYTES:
            raise ValueError("a line is longer than any of ours")
        yield line.rstrip(b"\n")


def _read_line(source: IO[bytes]) -> bytes:
    try:
        return source.readline(MAX_LINE_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"it can't be unpacked: {error}") from error


class _FileVerifier:
    """The state of verifying a file, and the verdict so far."""

    def __init__(self, expected: Sequence[Head], keys: Sequence["Ed25519PublicKey"]) -> None:
        self.verdict = Verdict()
        self._wanted = {head.id: head.hash for head in expected}
        self._keys = {key_id(key): key for key in keys}
        self._begun = self._ended = False
        self._last: Seal | None = None
        self._due: Iterator[tuple[int, bytes]] = iter(())
        self._next: tuple[int, bytes] | None = None
        self._row: tuple[int, bytes] | None = None
        self._proofs: dict[int, list[tuple[int, bytes, int, list[bytes]]]] = {}
        self._unproven: set[int] = set()
        self._kind = ""
        self._all = False

    def check_line(self, line: bytes) -> bool:
        """Check a line. Return False if it shows another file format or findings are too many."""
        verdict = self.verdict
        try:
            self._check_content(line, *lines.parse(line))
        except lines.InvalidLineError as error:
            verdict.add(Kind.NOT_A_TRAIL, f"{error}: {line[:80]!r}")
            return self._begun and len(verdict.findings) < 10
        return True

    def _check_content(self, line: bytes, kind: str, content: dict[str, Any]) -> None:
        if not self._begun:
            if kind != "format" or content.get("format") != lines.FORMAT:
                raise lines.InvalidLineError("its first line is not that of an export")
            self._kind, filters = str(content.get("kind")), content.get("filters")
            if self._kind not in {lines.SEALS, lines.SELECTION}:
                raise lines.InvalidLineError(
                    "its first line does not say what kind of export it is"
                )
            if self._kind == lines.SELECTION and not isinstance(filters, dict):
                # Otherwise, rows could be left out unnoticed.
                raise lines.InvalidLineError(
                    "its first line does not say which rows were asked for"
                )
            self._begun = True
            if self._kind == lines.SELECTION and isinstance(filters, dict):
                self.verdict.filters = {str(key): str(value) for key, value in filters.items()}
                self._all = not filters
        elif self._ended:
            raise lines.InvalidLineError("it goes on after its end")
        elif kind == "row":
            self._check_row(content["id"], line)
        elif kind == "seal":
            self._check_seal(*lines.parse_seal(content))
        elif kind == "proof":
            self._keep_proof(*lines.parse_proof(content))
        elif kind == "end":
            self._check_end(content)

    def finish(self) -> Verdict:
        """Finish the verification and return the verdict."""
        verdict = self.verdict
        self._finish_seal()
        if not self._ended:
            verdict.add(Kind.CUT_OFF, "the file has no end: something is missing from it")
        for proofs in self._proofs.values():
            for number, *_ in proofs:
                verdict.add(Kind.SEAL_MISSING, f"row {number}: its seal is missing", row=number)
        for number in sorted(self._wanted):
            if self._last is None or number > self._last.id:
                verdict.add(
                    Kind.CUT_OFF, f"seal {number}, kept elsewhere, is not there", seal=number
                )
        if self._keys and verdict.signed_through is None:
            verdict.add(Kind.SIGNATURE_WRONG, "no seal is signed with the key given")
        return verdict

    def _check_row(self, number: int, line: bytes) -> None:
        verdict = self.verdict
        leaf = row_leaf(line.decode("utf-8", "replace"))
        if self._kind == lines.SELECTION:
            verdict.rows += 1
            verdict.unsealed += 1  # until the row's proof follows
            self._unproven.add(number)
            self._row = (number, leaf)
            if self._last is not None:
                verdict.add(Kind.INSERTED, f"row {number} comes after the seals", row=number)
            return
        while self._next is not None and self._next[0] < number:
            self._report_missing(self._next[0])
            self._next = next(self._due, None)
        if self._next is None or self._next[0] != number:
            verdict.add(
                Kind.INSERTED,
                f"row {number} is not one of the seal's",
                row=number,
                seal=None if self._last is None else self._last.id,
            )
            return
        verdict.rows += 1
        if self._next[1] != leaf:
            seal = None if self._last is None else self._last.id
            verdict.add(Kind.ALTERED, f"row {number} was altered", row=number, seal=seal)
        self._next = next(self._due, None)

    def _report_missing(self, number: int) -> None:
        seal = None if self._last is None else self._last.id
        self.verdict.add(Kind.MISSING, f"row {number} is missing", row=number, seal=seal)

    def _finish_seal(self) -> None:
        while self._next is not None:
            self._report_missing(self._next[0])
            self._next = next(self._due, None)

    def _check_seal(self, seal: Seal, signatures: list[tuple[str, bytes]]) -> None:
        verdict = self.verdict
        self._finish_seal()
        verdict.seals += 1
        before = self._last
        if before is not None and seal.id != before.id + 1:
            verdict.add(Kind.SEAL_MISSING, f"seal {before.id + 1} is missing", seal=before.id + 1)
        elif seal.previous != (before.head if before is not None else seal.previous) or (
            seal.id == 1 and seal.previous != GENESIS
        ):
            text = f"seal {seal.id} does not follow the seal before it"
            verdict.add(Kind.SEAL_ALTERED, text, seal=seal.id)
        if self._kind == lines.SELECTION:
            computed = head_of(seal.id, seal.sealed_at, seal.ranges, seal.root, seal.previous)
            fault = None if computed == seal.head else "its own hash is not that of what it says"
        else:
            fault = seal.fault()
        if fault is not None:
            verdict.add(Kind.SEAL_ALTERED, f"seal {seal.id}: {fault}", seal=seal.id)
        if self._wanted.get(seal.id, seal.head) != seal.head:
            text = f"seal {seal.id} is not the one that was kept elsewhere"
            verdict.add(Kind.REPLACED, text, seal=seal.id)
        self._check_signatures(seal, signatures)
        self._last = seal
        verdict.head = Head(seal.id, seal.head)
        if self._kind == lines.SELECTION:
            self._check_proofs(seal)
        else:
            self._due = zip(numbers_in(seal.ranges), seal.leaves, strict=False)
            self._next = next(self._due, None)

    def _check_signatures(self, seal: Seal, signatures: list[tuple[str, bytes]]) -> None:
        for name, signature in signatures:
            if name not in self._keys:
                continue
            if is_signed(self._keys[name], seal.head, signature):
                self.verdict.signed_through = seal.id
            else:
                text = f"seal {seal.id}: the signature is not of the key given"
                self.verdict.add(Kind.SIGNATURE_WRONG, text, seal=seal.id)

    def _keep_proof(self, number: int, seal: int, index: int, path: list[bytes]) -> None:
        if self._row is None or self._row[0] != number:
            text = f"the proof of row {number} does not follow it"
            self.verdict.add(Kind.MISSING, text, row=number, seal=seal)
            return
        self.verdict.unsealed -= 1
        self._unproven.discard(number)
        self._proofs.setdefault(seal, []).append((number, self._row[1], index, path))
        self._row = None

    def _check_proofs(self, seal: Seal) -> None:
        """Check the proofs of a seal's rows and, without filters, that no row is missing.

        A row without a proof counts as unsealed only if no seal in the file covers it.
        """
        verdict = self.verdict
        proofs = self._proofs.pop(seal.id, [])
        unproven = sorted(
            number
            for number in self._unproven
            if any(first <= number <= last for first, last in seal.ranges)
        )
        for number in unproven:
            text = f"row {number} is sealed, but its proof is missing"
            verdict.add(Kind.ALTERED, text, row=number, seal=seal.id)
        self._unproven.difference_update(unproven)
        verdict.unsealed -= len(unproven)
        if not proofs and not self._all:
            return
        places = {number: place for place, number in enumerate(numbers_in(seal.ranges))}
        for number, leaf, index, path in proofs:
            if places.get(number) != index:
                text = f"row {number} is not one of seal {seal.id}'s"
                verdict.add(Kind.INSERTED, text, row=number, seal=seal.id)
            elif root_by(leaf, index, len(places), path) != seal.root:
                text = f"row {number} was altered"
                verdict.add(Kind.ALTERED, text, row=number, seal=seal.id)
        if self._all:
            there = {number for number, *_ in proofs}.union(unproven)
            for number in sorted(places.keys() - there):
                self._report_missing(number)

    def _check_end(self, content: dict[str, object]) -> None:
        self._finish_seal()
        self._ended = True
        verdict = self.verdict
        counted = {"rows": verdict.rows, "seals": verdict.seals}
        if {key: content.get(key) for key in counted} != counted and verdict.is_intact:
            text = f"the file says that it has {content}, but there were {counted}"
            verdict.add(Kind.CUT_OFF, text)
