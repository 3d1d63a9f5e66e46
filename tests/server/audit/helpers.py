"""Helpers that write, seal, export and manipulate audit trails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.rules.chain import Head
from aiplatform.server.audit.rules.findings import Kind, Verdict
from aiplatform.server.audit.service import exports, sealing
from aiplatform.server.core import audit
from aiplatform.server.core.database import transaction


def write(count: int = 1, **details: Any) -> list[int]:
    with transaction() as session:
        return [
            audit.record(
                session,
                audit.SYSTEM,
                AuditAction.DATASET_CREATED,
                "dataset",
                number=number,
                **details,
            )
            for number in range(count)
        ]


def seal(max_rows: int = sealing.BATCH) -> Head:
    sealing.seal_all(max_rows=max_rows)
    with transaction() as session:
        head = sealing.newest(session)
    assert head is not None
    return head


def first(verdict: Verdict) -> tuple[Kind, int | None]:
    assert verdict.findings, "nothing was found"
    return verdict.findings[0].kind, verdict.findings[0].row


def write_seals(path: Path, first_seal: int, last_seal: int) -> Path:
    with transaction() as session:
        path.write_text("\n".join([*exports.sealed_lines(session, first_seal, last_seal), ""]))
    return path


def write_selection(path: Path, **filters: Any) -> Path:
    from aiplatform.server.audit.rules.filters import Filters

    path.write_bytes(b"".join(exports.stream(Filters(**filters), "jsonl")))
    return path


def edit(path: Path, change: Callable[[list[str]], object]) -> Path:
    found = path.read_text().split("\n")
    change(found)
    path.write_text("\n".join(found))
    return path
