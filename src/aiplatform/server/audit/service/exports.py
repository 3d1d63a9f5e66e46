"""Exports of the audit trail: JSON lines with proofs for programs, or CSV for spreadsheets.

A database cursor reads the rows from one snapshot, and each row is sent immediately, so an export
of any size needs the same amount of memory.
"""

import io
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from sqlalchemy import select, text
from sqlalchemy.orm import Session, undefer

from aiplatform.data.spreadsheets import csv_line
from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit import queries
from aiplatform.server.audit.models import AuditSeal, AuditSignature
from aiplatform.server.audit.rules import lines
from aiplatform.server.audit.rules.chain import ROW_TEXT, Seal, numbers_in
from aiplatform.server.audit.rules.filters import Filters, csv_cell
from aiplatform.server.audit.rules.merkle import HASH_BYTES, Tree
from aiplatform.server.audit.service.sealing import time_text
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import session_factory

AT_ONCE = 500
CACHED_SEALS = 8
COLUMNS = (
    "time", "user", "user_uuid", "action", "outcome", "resource_type", "resource_id", "project",
    "address", "user_agent", "details", "uuid",
)  # fmt: skip

_ROWS_OF_SEAL = text(
    f"""
    SELECT {ROW_TEXT} FROM audit_seals s, unnest(s.ids) r
    JOIN audit_logs l ON l.id >= lower(r) AND l.id < upper(r)
    JOIN audit_entries e ON e.audit_id = l.id
    WHERE s.id = :seal ORDER BY l.id
    """  # noqa: S608  (a constant)
)


def export(
    session: Session, actor: Actor, filters: Filters, form: Literal["jsonl", "csv"]
) -> Iterator[bytes]:
    """Record an export in the audit trail and return its content in pieces.

    Read the pieces only after the record has been committed.
    """
    audit.record(
        session,
        actor,
        AuditAction.AUDIT_EXPORTED,
        "audit",
        project=filters.project,
        format=form,
        filters=_filter_texts(filters),
    )
    return stream(filters, form)


def stream(filters: Filters, form: Literal["jsonl", "csv"]) -> Iterator[bytes]:
    """Yield an export in pieces, reading the rows in a separate session with one snapshot."""
    with session_factory()() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        if form == "csv":
            for piece in csv_lines(session, filters):
                yield piece.encode()
            return
        pieces: list[str] = []
        for line in selected_lines(session, filters):
            pieces.append(line)
            if len(pieces) >= AT_ONCE:
                yield ("\n".join(pieces) + "\n").encode()
                pieces.clear()
        yield ("\n".join(pieces) + "\n").encode()


def _filter_texts(filters: Filters) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(filters).items() if value is not None}


def sealed_lines(session: Session, first: int, last: int) -> Iterator[str]:
    """Yield the lines of complete seals and of their rows, in the format of an archive."""
    yield lines.header_line(lines.SEALS)
    rows = seals = 0
    for number in range(first, last + 1):
        seal, signatures = _seal(session, number)
        yield lines.seal_line(seal, signatures, whole=True)
        seals += 1
        for line in session.scalars(_ROWS_OF_SEAL, {"seal": number}):
            rows += 1
            yield line
    yield lines.end_line(rows, seals)


def selected_lines(session: Session, filters: Filters) -> Iterator[str]:
    """Yield matching rows, newest first, each with its proof, then the seals that cover them.

    The seals are all those from the oldest that covers a matching row to the newest in the trail,
    so the chain has no gaps. Rows that are not yet sealed have no proof. Rows that were pruned are
    only in their archives, not in the export.
    """
    yield lines.header_line(lines.SELECTION, _filter_texts(filters))
    proofs = _Proofs(session)
    rows = seals = 0
    statement = queries.in_order(session, filters, queries.log.id, queries.TEXT)
    for number, line in session.execute(statement, execution_options={"yield_per": AT_ONCE}):
        rows += 1
        yield line
        proof = proofs.of(number)
        if proof is not None:
            yield lines.proof_line(number, *proof)
    if proofs.oldest is not None:
        numbers = session.scalars(
            select(AuditSeal.id).where(AuditSeal.id >= proofs.oldest).order_by(AuditSeal.id)
        ).all()
        for seal_number in numbers:
            seal, signatures = _seal(session, seal_number)
            yield lines.seal_line(seal, signatures, whole=False)
            seals += 1
    yield lines.end_line(rows, seals)


def csv_lines(session: Session, filters: Filters) -> Iterator[str]:
    """Yield the matching rows as CSV with a header. Cells that look like formulas are escaped."""
    buffer = io.StringIO(newline="")
    buffer.write(csv_line(COLUMNS))
    statement = queries.in_order(session, filters, queries.TEXT)
    for line in session.scalars(statement, execution_options={"yield_per": AT_ONCE}):
        buffer.write(csv_line(_cells(json.loads(line))))
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cells(row: dict[str, object]) -> list[str]:
    details = row["details"]
    rest = dict(details) if isinstance(details, dict) else {}
    actor = rest.pop("actor", None)
    who = actor if isinstance(actor, dict) else {}
    shown = rest if isinstance(details, dict) else details
    return [
        csv_cell(value)
        for value in (
            row["created_at"], who.get("username"), who.get("uuid"), row["action"],
            row["outcome"], row["resource_type"], row["resource_id"], row["project"],
            row["ip_address"], row["user_agent"],
            json.dumps(shown, ensure_ascii=False, separators=(",", ":")), row["uuid"],
        )
    ]  # fmt: skip


def _seal(session: Session, number: int) -> tuple[Seal, list[tuple[str, bytes]]]:
    row = session.get_one(
        AuditSeal, number, options=[undefer(AuditSeal.leaves)], populate_existing=True
    )
    session.expunge(row)
    signed = session.execute(
        select(AuditSignature.key_id, AuditSignature.signature)
        .where(AuditSignature.seal_id == number)
        .order_by(AuditSignature.key_id)
    )
    return _seal_from(row), [(key, value) for key, value in signed]


def _seal_from(row: AuditSeal) -> Seal:
    ranges = []
    for run in row.ids:
        assert run.lower is not None
        assert run.upper is not None
        ranges.append((run.lower, run.upper - 1))
    leaves = tuple(row.leaves[at : at + HASH_BYTES] for at in range(0, len(row.leaves), HASH_BYTES))
    return Seal(
        row.id, time_text(row.sealed_at), tuple(ranges), leaves, row.root, row.previous, row.head
    )


class _Proofs:
    """A source of proofs for rows. It caches a few seals, because consecutive rows share a seal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: OrderedDict[int, tuple[dict[int, int], Tree]] = OrderedDict()
        self.oldest: int | None = None

    def of(self, number: int) -> tuple[int, int, list[bytes]] | None:
        """Return a row's proof (seal number, index in the seal, path); None if it is not sealed."""
        for seal, (places, tree) in reversed(self._kept.items()):
            if number in places:
                return self._proof(seal, places[number], tree)
        found = self._session.scalars(
            select(AuditSeal.id).where(AuditSeal.ids.contains(number)).limit(1)
        ).first()
        if found is None:
            return None
        seal_, _ = _seal(self._session, found)
        places = {row: place for place, row in enumerate(numbers_in(seal_.ranges))}
        tree = Tree(seal_.leaves)
        self._kept[found] = (places, tree)
        if len(self._kept) > CACHED_SEALS:
            self._kept.popitem(last=False)
        return self._proof(found, places[number], tree)

    def _proof(self, seal: int, place: int, tree: Tree) -> tuple[int, int, list[bytes]]:
        self.oldest = seal if self.oldest is None else min(self.oldest, seal)
        return seal, place, tree.path(place)
