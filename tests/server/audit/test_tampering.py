"""Tests that verification detects changes by a superuser to the sealed audit trail."""

from pathlib import Path
from typing import Any

import pytest

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.rules.signatures import make_key, read_public
from aiplatform.server.audit.service import sealing
from aiplatform.server.audit.service.verification import verify_database
from aiplatform.server.core import audit
from aiplatform.server.core.database import session_factory, transaction
from tests.factories import make_user
from tests.server.audit.helpers import first, seal, write

pytestmark = pytest.mark.usefixtures("fresh_database")

TAMPERING: dict[str, tuple[str, Kind]] = {
    "action": ("UPDATE audit_logs SET action = 'x' WHERE id = {row}", Kind.ALTERED),
    "details": (
        "UPDATE audit_logs SET details = details || '{{\"number\": 5.0}}' WHERE id = {row}",
        Kind.ALTERED,
    ),
    "no details": ("UPDATE audit_logs SET details = NULL WHERE id = {row}", Kind.ALTERED),
    "type": ("UPDATE audit_logs SET resource_type = NULL WHERE id = {row}", Kind.ALTERED),
    "resource": ("UPDATE audit_logs SET resource_id = 'x' WHERE id = {row}", Kind.ALTERED),
    "address": ("UPDATE audit_logs SET ip_address = '::1' WHERE id = {row}", Kind.ALTERED),
    "agent": ("UPDATE audit_logs SET user_agent = 'x' WHERE id = {row}", Kind.ALTERED),
    "time": (
        "UPDATE audit_logs SET created_at = created_at + interval '1 microsecond' WHERE id = {row}",
        Kind.ALTERED,
    ),
    "outcome": ("UPDATE audit_entries SET outcome = 'denied' WHERE audit_id = {row}", Kind.ALTERED),
    "project": (
        "UPDATE audit_entries SET project_uuid = gen_random_uuid() WHERE audit_id = {row}",
        Kind.ALTERED,
    ),
    "uuid": (
        "UPDATE audit_entries SET uuid = gen_random_uuid() WHERE audit_id = {row}",
        Kind.ALTERED,
    ),
    "time of the entry": (
        "UPDATE audit_entries SET created_at = now() WHERE audit_id = {row}",
        Kind.ALTERED,
    ),
    "what an entry is found by": (
        "UPDATE audit_entries SET action = 'user:deleted' WHERE audit_id = {row}",
        Kind.ALTERED,
    ),
    "no entry": ("DELETE FROM audit_entries WHERE audit_id = {row}", Kind.ALTERED),
    "deleted": ("DELETE FROM audit_logs WHERE id = {row}", Kind.MISSING),
    "another number": ("UPDATE audit_logs SET id = -7 WHERE id = {row}", Kind.MISSING),
}


class TestASuperuser:
    @pytest.mark.parametrize("name", TAMPERING)
    def test_changed_row_is_found(self, url: str, superuser: Any, name: str) -> None:
        rows = write(30)
        seal(max_rows=10)
        statement, kind = TAMPERING[name]
        superuser.execute(statement.format(row=rows[14]))
        if name != "another number":
            superuser.execute(statement.format(row=rows[23]))
        verdict = verify_database(url)
        assert first(verdict) == (kind, rows[14])
        assert verdict.findings[0].seal == 2

    def test_row_hidden_from_searches_for_its_user_is_found(self, url: str, superuser: Any) -> None:
        with transaction() as session:
            user = make_user(session)
            did = audit.Actor(user_id=user.id, username=user.username)
            row = audit.record(session, did, AuditAction.DATASET_CREATED, "dataset")
        seal()
        superuser.execute("UPDATE audit_entries SET user_id = -1 WHERE audit_id = %s", [row])
        assert first(verify_database(url)) == (Kind.ALTERED, row)

    def test_swapped_rows_are_found(self, url: str, superuser: Any) -> None:
        rows = write(10)
        seal()
        superuser.execute(
            "UPDATE audit_logs a SET details = b.details FROM audit_logs b"
            " WHERE (a.id, b.id) IN ((%s, %s), (%s, %s))",
            [rows[2], rows[5], rows[5], rows[2]],
        )
        verdict = verify_database(url)
        assert [finding.row for finding in verdict.findings] == [rows[2], rows[5]]

    @pytest.mark.parametrize("place", ["before", "hole", "between", "after"])
    def test_inserted_row_is_found(self, url: str, superuser: Any, place: str) -> None:
        write(3)
        with session_factory()() as session:
            hole = audit.record(session, audit.SYSTEM, AuditAction.DATASET_CREATED, "dataset")
            session.rollback()
        rows = write(3)
        seal()
        with session_factory()() as session:
            between = audit.record(session, audit.SYSTEM, AuditAction.DATASET_CREATED, "dataset")
            session.rollback()
        rows += write(3)
        seal()
        number = {"before": -5, "hole": hole, "between": between, "after": rows[-1] + 1}[place]
        superuser.execute("INSERT INTO audit_logs (id, action) VALUES (%s, 'x')", [number])
        superuser.execute("INSERT INTO audit_entries (audit_id) VALUES (%s)", [number])
        assert first(verify_database(url)) == (Kind.INSERTED, number)

    def test_old_row_inserted_through_the_trigger_is_found(self, url: str, superuser: Any) -> None:
        write(3)
        seal()
        superuser.execute("SET session_replication_role = origin")
        superuser.execute(
            "INSERT INTO audit_logs (id, action, created_at) VALUES (-5, 'x', '2020-01-01Z')"
        )
        seal()
        assert first(verify_database(url)) == (Kind.INSERTED, -5)

    def test_row_removed_from_the_queue_is_found(self, url: str, superuser: Any) -> None:
        (row,) = write(1)
        superuser.execute("DELETE FROM audit_unsealed")
        assert first(verify_database(url)) == (Kind.INSERTED, row)
        write(2)
        seal()
        assert first(verify_database(url)) == (Kind.INSERTED, row)

    def test_row_deleted_before_it_was_sealed_is_found(self, url: str, superuser: Any) -> None:
        row, _ = write(2)
        superuser.execute("DELETE FROM audit_entries WHERE audit_id = %s", [row])
        superuser.execute("DELETE FROM audit_logs WHERE id = %s", [row])
        assert first(verify_database(url)) == (Kind.MISSING, row)

    @pytest.mark.parametrize(
        "change",
        [
            "root = previous",
            "previous = root",
            "head = root",
            "sealed_at = sealed_at + interval '1 second'",
            "leaves = set_byte(leaves, 5, 255 - get_byte(leaves, 5))",
            "leaves = ''",
            "ids = ids + int4multirange(int4range(100000, 100001))",
        ],
    )
    def test_changed_seal_is_found(self, url: str, superuser: Any, change: str) -> None:
        write(30)
        seal(max_rows=10)
        superuser.execute(f"UPDATE audit_seals SET {change} WHERE id = 2")
        verdict = verify_database(url)
        assert first(verdict)[0] is Kind.SEAL_ALTERED
        assert verdict.findings[0].seal == 2

    def test_removed_seal_is_found(self, url: str, superuser: Any) -> None:
        write(30)
        seal(max_rows=10)
        superuser.execute("DELETE FROM audit_seals WHERE id = 2")
        verdict = verify_database(url)
        assert first(verdict)[0] is Kind.SEAL_MISSING
        assert verdict.findings[0].seal == 2

    def test_removed_end_is_found_by_a_head_kept_elsewhere(self, url: str, superuser: Any) -> None:
        write(30)
        head = seal(max_rows=10)
        superuser.execute(
            "DELETE FROM audit_entries e USING audit_seals s WHERE s.id = 3 AND e.audit_id <@ s.ids"
        )
        superuser.execute(
            "DELETE FROM audit_logs l USING audit_seals s WHERE s.id = 3 AND l.id <@ s.ids"
        )
        superuser.execute("DELETE FROM audit_seals WHERE id = 3")
        assert verify_database(url).is_intact  # the database alone can't show it
        assert first(verify_database(url, expected=[head]))[0] is Kind.CUT_OFF

    def test_trail_that_was_sealed_again_is_found(
        self, url: str, superuser: Any, tmp_path: Path
    ) -> None:
        rows = write(20)
        private, public = make_key()
        key = tmp_path / "key"
        key.write_bytes(private)
        sealing.seal_all(key, max_rows=10)
        with transaction() as session:
            head = sealing.newest(session)
        assert head is not None
        keys = [read_public(public)]
        good = verify_database(url, expected=[head], keys=keys)
        assert good.is_intact, good.findings
        assert good.signed_through == 2

        signatures = superuser.execute("SELECT * FROM audit_signatures").fetchall()
        superuser.execute("DELETE FROM audit_signatures; DELETE FROM audit_seals")
        superuser.execute("UPDATE audit_logs SET action = 'x' WHERE id = %s", [rows[3]])
        superuser.execute("UPDATE audit_entries SET action = 'x' WHERE audit_id = %s", [rows[3]])
        superuser.execute("INSERT INTO audit_unsealed SELECT id FROM audit_logs")
        seal(max_rows=10)
        assert verify_database(url).is_intact  # a different chain, but consistent in itself
        assert first(verify_database(url, expected=[head]))[0] is Kind.REPLACED
        assert first(verify_database(url, keys=keys))[0] is Kind.SIGNATURE_WRONG
        for row in signatures:
            superuser.execute("INSERT INTO audit_signatures VALUES (%s, %s, %s, %s)", row)
        assert first(verify_database(url, keys=keys))[0] is Kind.SIGNATURE_WRONG
