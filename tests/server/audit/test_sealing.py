"""Tests of sealing the audit trail: which rows are sealed, and when."""

import threading

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.models import AuditSeal
from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.service import sealing, verification
from aiplatform.server.audit.service.verification import verify_database
from aiplatform.server.core import audit
from aiplatform.server.core.database import session_factory, transaction
from tests.factories import make_user
from tests.server.audit.helpers import first, seal, write

pytestmark = pytest.mark.usefixtures("fresh_database")


class TestSealing:
    def test_every_row_is_sealed_once(self, url: str) -> None:
        rows = write(25)
        head = seal(max_rows=10)
        assert head.id == 3
        with transaction() as session:
            covered = session.scalars(
                text(
                    "SELECT count(*) FROM audit_seals s, unnest(s.ids) r,"
                    " generate_series(lower(r), upper(r) - 1)"
                )
            ).one()
            assert session.scalar(text("SELECT count(*) FROM audit_unsealed")) == 0
        assert covered == len(rows)
        verdict = verify_database(url)
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.seals, verdict.unsealed) == (25, 3, 0)
        assert verdict.head == head
        assert sealing.seal_all() == 0

    def test_rows_that_commit_late_are_sealed_late(self, url: str) -> None:
        with session_factory()() as late:
            early_number = audit.record(
                late, audit.SYSTEM, AuditAction.DATASET_CREATED, "dataset", late=True
            )
            later = write(3)
            assert min(later) > early_number
            seal()
            verdict = verify_database(url)
            assert verdict.is_intact, verdict.findings
            late.commit()
        waiting = verify_database(url)
        assert waiting.is_intact, waiting.findings
        assert waiting.unsealed == 1
        seal()
        verdict = verify_database(url)
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.unsealed, verdict.seals) == (4, 0, 2)

    def test_rolled_back_rows_are_not_reported_missing(self, url: str) -> None:
        write(2)
        with session_factory()() as session:
            audit.record(session, audit.SYSTEM, AuditAction.DATASET_CREATED, "dataset")
            session.rollback()
        write(2)
        seal()
        assert verify_database(url).is_intact

    def test_backlog_of_old_rows_is_not_a_forgery(
        self, url: str, owner: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Simulate a database that predates sealing, or whose workers were down for a long time."""
        monkeypatch.setattr(verification, "BATCH", 10)
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO audit_logs (action, created_at) SELECT 'old', '2020-01-01Z'"
                " FROM generate_series(1, 25)"
            )
            seal(max_rows=10)
            verdict = verify_database(url)
            assert verdict.is_intact, verdict.findings
            assert (verdict.rows, verdict.seals) == (25, 3)
            connection.execute(
                "INSERT INTO audit_logs (action, created_at) VALUES ('old', '2020-01-01Z')"
            )
        seal(max_rows=10)
        assert first(verify_database(url))[0] is Kind.INSERTED

    def test_concurrent_writers_and_sealers_leave_an_intact_trail(self, url: str) -> None:
        stop = threading.Event()

        def sealer() -> None:
            while not stop.is_set():
                sealing.seal_all(max_rows=7)

        sealers = [threading.Thread(target=sealer) for _ in range(2)]
        writers = [threading.Thread(target=lambda: [write(3) for _ in range(10)]) for _ in range(4)]
        for thread in [*sealers, *writers]:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in sealers:
            thread.join()
        seal()
        verdict = verify_database(url)
        assert verdict.is_intact, verdict.findings
        assert verdict.rows == 120

    def test_deleted_user_breaks_no_seal(self, url: str) -> None:
        with transaction() as session:
            user = make_user(session)
            actor = audit.Actor(user_id=user.id, user_uuid=user.uuid, username=user.username)
            audit.record(session, actor, AuditAction.DATASET_CREATED, "dataset")
        seal()
        with transaction() as session:
            session.delete(session.merge(user))
        with transaction() as session:
            assert session.scalar(text("SELECT count(*) FROM audit_logs WHERE user_id > 0")) == 0
        assert verify_database(url).is_intact

    def test_rows_of_other_programs_and_any_content_are_sealed(self, url: str, owner: str) -> None:
        write(1, text='a\x00b\u2028 数据 \\ " \n', number_=1e300, nan=float("nan"), deep=[[{}]])
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO audit_logs (action, details, ip_address, user_agent) VALUES"
                " ('a', NULL, '10.0.0.0/8', NULL), ('b', '[1.10, 1e400, -0]', '::1', E'\\t'),"
                " ('c', '\"text\"', NULL, repeat('x', 100000)), ('d', '{}', NULL, NULL)"
            )
            entries = connection.execute("SELECT count(*) FROM audit_entries").fetchone()
            assert entries == (5,)
        seal()
        verdict = verify_database(url)
        assert verdict.is_intact, verdict.findings
        assert verdict.rows == 5


def test_seals_form_one_chain(session: Session) -> None:
    write(3)
    seal(max_rows=1)
    with transaction() as inner:
        found = inner.scalars(select(AuditSeal).order_by(AuditSeal.id)).all()
        assert [one.previous for one in found[1:]] == [one.head for one in found[:-1]]
        assert found[0].previous == bytes(32)
