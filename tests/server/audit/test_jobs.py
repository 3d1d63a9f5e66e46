"""Tests of the jobs with which workers maintain the audit trail."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from aiplatform.data.blobs import StoreUnavailableError
from aiplatform.server.audit import jobs
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import get_settings
from tests.conftest import environment
from tests.server.audit.helpers import write

pytestmark = pytest.mark.usefixtures("fresh_database")


def seal_and_archive(**settings: str) -> None:
    with environment(**settings):
        jobs.seal_and_archive(get_settings())


def count(table: str) -> int:
    with transaction() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_job_seals_and_archives(tmp_path: Path) -> None:
    write(3)
    seal_and_archive(AIPLATFORM_HOME=str(tmp_path))
    assert (count("audit_seals"), count("audit_archives")) == (1, 0)
    seal_and_archive(AIPLATFORM_HOME=str(tmp_path), AIPLATFORM_AUDIT_ARCHIVE_DAYS="1")
    assert count("audit_archives") == 0, "nothing is a day old"


def test_job_without_a_key_still_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(jobs, "archive_all", asked.append)
    write(1)
    seal_and_archive(
        AIPLATFORM_AUDIT_SIGNING_KEY_FILE=str(tmp_path / "none"), AIPLATFORM_AUDIT_ARCHIVE_DAYS="7"
    )
    assert count("audit_seals") == 0
    assert asked == [7]


def test_unavailable_store_does_not_stop_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_days: float) -> int:
        raise StoreUnavailableError("nobody there")

    monkeypatch.setattr(jobs, "archive_all", away)
    write(1)
    seal_and_archive(AIPLATFORM_AUDIT_ARCHIVE_DAYS="7")
    assert count("audit_seals") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_runs_the_job_repeatedly(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, enough = [], threading.Event()

    def turn(_settings: object) -> None:
        turns.append(1)
        if len(turns) == 2:
            enough.set()
            raise SystemExit  # ends the thread

    monkeypatch.setattr(jobs, "seal_and_archive", turn)
    with environment(AIPLATFORM_AUDIT_SEAL_SECONDS="1"):
        thread = jobs.start_sealing()
    assert enough.wait(10)
    thread.join(10)
    assert not thread.is_alive()
