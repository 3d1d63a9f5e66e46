"""Tests of archiving: audit rows are copied to the blob store, then deleted from the table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.service import archives
from aiplatform.server.audit.service.verification import verify_database
from aiplatform.server.core.database import transaction
from aiplatform.server.core.garbage_collection import collect_blobs
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import get_store
from tests.conftest import environment
from tests.server.audit.helpers import first, seal, write

pytestmark = pytest.mark.usefixtures("fresh_database")


class TestArchives:
    def test_rows_are_pruned_only_after_they_are_archived(self, url: str, owner: str) -> None:
        write(25)
        head = seal(max_rows=10)
        write(1)
        assert archives.archive_all(1) == 0
        assert archives.archive_all(0) == 25
        assert archives.archive_all(0) == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            archives.prune(url, 0)
        assert archives.prune(owner, 1) == 0
        assert archives.prune(owner, 0) == 25
        assert archives.prune(owner, 0) == 0
        with transaction() as session:
            assert session.scalar(text("SELECT count(*) FROM audit_logs")) == 1
            assert session.scalar(text("SELECT count(*) FROM audit_entries")) == 1
        verdict = verify_database(url, expected=[head], archived=archives.rows_of_archive)
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.archived, verdict.unsealed) == (25, 25, 1)

    def test_spool_directory_is_private(self, tmp_path: Path) -> None:
        write(3)
        seal()
        with environment(AIPLATFORM_HOME=str(tmp_path)):
            assert archives.archive_all(0) == 3
            assert get_settings().spool_dir.stat().st_mode & 0o777 == 0o700

    def test_garbage_collection_keeps_archives(self, url: str) -> None:
        from datetime import timedelta

        write(3)
        seal()
        archives.archive_all(0)
        collect_blobs(grace=timedelta(0))
        with transaction() as session:
            sha256 = session.scalars(text("SELECT sha256 FROM audit_archives")).one()
        assert get_store().exists(sha256)
        assert len(list(archives.rows_of_archive(sha256))) == 3

    def test_lost_archive_is_reported_and_its_rows_are_kept(self, url: str, owner: str) -> None:
        write(3)
        seal()
        archives.archive_all(0)
        with transaction() as session:
            sha256 = session.scalars(text("SELECT sha256 FROM audit_archives")).one()
        get_store().delete(sha256)
        with pytest.raises(archives.ArchiveMismatchError):
            archives.prune(owner, 0)
        with transaction() as session:
            assert session.scalar(text("SELECT count(*) FROM audit_logs")) == 3

    def test_pruned_row_altered_in_its_archive_is_reported(
        self, url: str, owner: str, superuser: Any
    ) -> None:
        rows = write(3)
        seal()
        archives.archive_all(0)
        archives.prune(owner, 0)

        def forged(_: str) -> Iterator[tuple[int, str]]:
            with transaction() as session:
                sha256 = session.scalars(text("SELECT sha256 FROM audit_archives")).one()
            for number, line in archives.rows_of_archive(sha256):
                yield number, line.replace("success", "denied") if number == rows[1] else line

        assert first(verify_database(url, archived=forged)) == (Kind.ALTERED, rows[1])
        assert verify_database(url).is_intact  # without the archives

    def test_altered_row_is_not_archived(self, url: str, superuser: Any) -> None:
        rows = write(3)
        seal()
        superuser.execute("UPDATE audit_logs SET action = 'x' WHERE id = %s", [rows[1]])
        with pytest.raises(archives.ArchiveMismatchError, match=f"row {rows[1]} was altered"):
            archives.archive_all(0)

    def test_owner_of_the_tables_can_not_delete_rows_without_archive(self, owner: str) -> None:
        write(3)
        seal()
        with psycopg.connect(owner) as connection:
            for table in ("audit_entries", "audit_logs"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"DELETE FROM {table}")
                connection.rollback()
