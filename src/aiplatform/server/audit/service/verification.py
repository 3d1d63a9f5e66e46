"""Verification that a database's audit trail still matches its seals.

All hashes are computed here; the database only supplies its rows. They are read once, in one
snapshot, so the platform can continue to run.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from aiplatform.server.audit.rules.chain import (
    GENESIS,
    ROW_TEXT,
    Head,
    Seal,
    numbers_in,
    row_leaf,
)
from aiplatform.server.audit.rules.findings import Kind, Verdict
from aiplatform.server.audit.rules.merkle import HASH_BYTES
from aiplatform.server.audit.rules.signatures import is_signed, key_id
from aiplatform.server.audit.service.sealing import BATCH, time_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Connection: TypeAlias = "psycopg.Connection[Any]"
Archived: TypeAlias = Callable[[str], Iterator[tuple[int, str]]]
"""Function that reads the rows of the archive with a given SHA-256: numbers and canonical texts."""

MAX_TRANSACTION_TIME = timedelta(days=1)
"""Upper limit for the duration of the platform's transactions.

If a row's time is earlier than the time of a seal by more than this limit, but only a later seal
covers the row, it was inserted afterwards.
"""

LOWEST_ROW = -(2**31)


def _plausible(column: str) -> str:
    """Return an SQL expression that replaces times that Python can't represent with NULL.

    These are infinite times, and times in years that Python does not support.
    """
    return f"CASE WHEN {column} >= '0001-01-02' AND {column} < '9999-12-31' THEN {column} END"


_ROWS = f"""
SELECT l.id, {ROW_TEXT}, {_plausible("l.created_at")},
       (e.created_at, e.action) IS NOT DISTINCT FROM (l.created_at, l.action)
       AND (l.user_id IS NULL OR l.user_id IS NOT DISTINCT FROM e.user_id)
FROM unnest(%s::int4multirange) r JOIN audit_logs l ON l.id >= lower(r) AND l.id < upper(r)
LEFT JOIN audit_entries e ON e.audit_id = l.id ORDER BY l.id
"""  # noqa: S608  (a constant)
# A forged range may have no start or no end. The limits of the column's type replace them.
_SEAL = f"""
SELECT id, {_plausible("sealed_at")}, root, previous, head, leaves, ids::text, ARRAY(
    SELECT ARRAY[coalesce(lower(r), -2147483648), coalesce(upper(r) - 1, 2147483647)]
    FROM unnest(ids) r)
FROM audit_seals WHERE id > %s ORDER BY id LIMIT 1
"""  # noqa: S608  (a constant)
_ROWS_BETWEEN = (
    "SELECT id FROM audit_logs WHERE id > %s AND id <= %s AND NOT id <@ %s::int4multirange"
)
_NEVER_QUEUED = """
SELECT id FROM audit_logs l WHERE id > %s
AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.audit_id = l.id) ORDER BY id LIMIT 1000
"""
_QUEUED = "SELECT audit_id FROM audit_unsealed WHERE audit_id = ANY(%s)"


def verify_database(
    url: str,
    *,
    expected: Sequence[Head] = (),
    keys: Sequence["Ed25519PublicKey"] = (),
    archived: Archived | None = None,
) -> Verdict:
    """Check a database's audit trail against its seals, heads kept elsewhere, and signatures.

    A head is the number and hash of a seal, as :func:`.sealing.newest` returns them.

    Raises:
        psycopg.Error: when the database does not respond, or has no such tables.
    """
    with psycopg.connect(url, connect_timeout=10) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        return _DatabaseVerifier(connection, archived).run(expected, keys)


class _DatabaseVerifier:
    """The verification of a database: it checks all seals in order, then rows without a seal."""

    def __init__(self, connection: Connection, archived: Archived | None) -> None:
        self._connection = connection
        self._archived = archived
        self._verdict = Verdict()
        self._uncovered: set[int] = set()
        self._highest = LOWEST_ROW
        self._pruned = self._read_pruned()
        self._last_archive: tuple[str, dict[int, str]] = ("", {})

    def run(self, expected: Sequence[Head], keys: Sequence["Ed25519PublicKey"]) -> Verdict:
        verdict = self._verdict
        wanted = {head.id: head.hash for head in expected}
        signing = {key_id(key): key for key in keys}
        previous, last_time = GENESIS, None
        for seal, ids, sealed_at in self._seals():
            verdict.seals += 1
            following = (verdict.head.id if verdict.head else 0) + 1
            if seal.id != following:
                verdict.add(Kind.SEAL_MISSING, f"seal {following} is missing", seal=following)
            elif seal.previous != previous:
                verdict.add(
                    Kind.SEAL_ALTERED,
                    f"seal {seal.id} does not follow the seal before it",
                    seal=seal.id,
                )
            if (fault := seal.fault()) is not None:
                verdict.add(Kind.SEAL_ALTERED, f"seal {seal.id}: {fault}", seal=seal.id)
            self._rows_of(seal, ids, last_time)
            if wanted.pop(seal.id, seal.head) != seal.head:
                verdict.add(
                    Kind.REPLACED,
                    f"seal {seal.id} is not the one that was kept elsewhere",
                    seal=seal.id,
                )
            self._signatures(seal, signing)
            previous = seal.head
            # A seal that is not full contains all rows that were waiting. A row that is older but
            # has a later seal is therefore suspicious. After a full seal, waiting rows may remain.
            if seal.size < BATCH:
                last_time = sealed_at
            verdict.head = Head(seal.id, seal.head)
        for number in sorted(wanted):
            verdict.add(Kind.CUT_OFF, f"seal {number}, kept elsewhere, is not there", seal=number)
        if keys and verdict.signed_through is None:
            verdict.add(Kind.SIGNATURE_WRONG, "no seal is signed with the key given")
        self._unsealed()
        return verdict

    def _seals(self) -> Iterator[tuple[Seal, str, Any]]:
        number = 0
        while True:
            row = self._connection.execute(_SEAL, [number]).fetchone()
            if row is None:
                return
            number, sealed_at, root, previous, head, leaves, ids, runs = row
            hashes = tuple(leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES))
            ranges = tuple((first, last) for first, last in runs)
            # Without a time, the seal's hash can't match, and ``Seal.fault`` reports this.
            said = "" if sealed_at is None else time_text(sealed_at)
            seal = Seal(number, said, ranges, hashes, root, previous, head)
            yield seal, ids, sealed_at

    def _rows_of(self, seal: Seal, ids: str, before: Any) -> None:
        """Compare each row of a seal with its hash, and collect the numbers of rows in between.

        The collected rows must be in other seals or waiting for one.
        """
        verdict = self._verdict
        found = self._connection.execute(_ROWS, [ids])
        row = found.fetchone()
        for number, leaf in zip(numbers_in(seal.ranges), seal.leaves, strict=False):
            if row is not None and row[0] == number:
                _, line, created_at, same_time = row
                row = found.fetchone()
                if created_at is None:
                    verdict.add(
                        Kind.INSERTED,
                        f"row {number} says that it is of a time that no clock shows",
                        row=number,
                        seal=seal.id,
                    )
            else:
                line, created_at, same_time = self._from_archive(seal, number), None, True
                if line is None:
                    continue
            verdict.rows += 1
            if row_leaf(line) != leaf or not same_time:
                verdict.add(Kind.ALTERED, f"row {number} was altered", row=number, seal=seal.id)
            elif (
                created_at is not None
                and before is not None
                and created_at < before - MAX_TRANSACTION_TIME
            ):
                verdict.add(
                    Kind.INSERTED,
                    f"row {number} says that it is of {created_at:%Y-%m-%d %H:%M}, but it was "
                    f"not there at {before:%Y-%m-%d %H:%M}",
                    row=number,
                    seal=seal.id,
                )
        last = seal.ranges[-1][1] if seal.ranges else self._highest
        if self._uncovered:
            for first, end in seal.ranges:
                self._uncovered -= {number for number in self._uncovered if first <= number <= end}
        if last > self._highest:
            others = self._connection.execute(_ROWS_BETWEEN, [self._highest, last, ids])
            self._uncovered.update(number for (number,) in others)
            self._highest = last

    def _unsealed(self) -> None:
        """Check that all rows without a seal are in the queue for sealing."""
        verdict = self._verdict
        waiting = {
            number for (number,) in self._connection.execute(_QUEUED, [sorted(self._uncovered)])
        }
        for number in sorted(self._uncovered - waiting):
            verdict.add(Kind.INSERTED, f"row {number} was put in beside the seals", row=number)
        for (number,) in self._connection.execute(_NEVER_QUEUED, [self._highest]):
            verdict.add(
                Kind.INSERTED, f"row {number} is in no seal and does not wait for one", row=number
            )
        counted = self._connection.execute("SELECT count(*) FROM audit_unsealed").fetchone()
        verdict.unsealed = counted[0] if counted else 0
        gone = self._connection.execute(
            "SELECT audit_id FROM audit_unsealed u WHERE NOT EXISTS"
            " (SELECT FROM audit_logs l WHERE l.id = u.audit_id) ORDER BY audit_id"
        )
        for (number,) in gone:
            verdict.add(Kind.MISSING, f"row {number} was removed before it was sealed", row=number)

    def _signatures(self, seal: Seal, keys: "dict[str, Ed25519PublicKey]") -> None:
        if not keys:
            return
        signed = self._connection.execute(
            "SELECT key_id, signature FROM audit_signatures WHERE seal_id = %s", [seal.id]
        ).fetchall()
        for name, signature in signed:
            if name not in keys:
                continue
            if is_signed(keys[name], seal.head, signature):
                self._verdict.signed_through = seal.id
            else:
                self._verdict.add(
                    Kind.SIGNATURE_WRONG,
                    f"seal {seal.id}: the signature is not of the key given",
                    seal=seal.id,
                )

    def _read_pruned(self) -> list[tuple[int, int, str]]:
        rows = self._connection.execute(
            "SELECT first_seal, last_seal, sha256 FROM audit_archives WHERE pruned_at IS NOT NULL"
        )
        return [(first, last, sha256) for first, last, sha256 in rows]

    def _from_archive(self, seal: Seal, number: int) -> str | None:
        """Return the text of a row that is only in an archive; add a finding if it is missing."""
        verdict = self._verdict
        names = [name for first, last, name in self._pruned if first <= seal.id <= last]
        if not names:
            verdict.add(Kind.MISSING, f"row {number} is missing", row=number, seal=seal.id)
            return None
        if self._archived is None:
            verdict.archived += 1
            return None
        if self._last_archive[0] != names[0]:
            try:
                self._last_archive = (names[0], dict(self._archived(names[0])))
            except (OSError, ValueError) as error:
                self._last_archive = (names[0], {})
                verdict.add(Kind.ARCHIVE_UNREADABLE, f"archive {names[0]}: {error}", seal=seal.id)
        line = self._last_archive[1].get(number)
        if line is None:
            verdict.add(
                Kind.MISSING, f"row {number} is missing from its archive", row=number, seal=seal.id
            )
            return None
        verdict.archived += 1
        return line
