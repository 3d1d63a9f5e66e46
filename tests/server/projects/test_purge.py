"""Tests of purging overdue resources from the bin, even if processes die or run concurrently."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.datasets.models import Dataset
from aiplatform.server.projects.errors import StillUsed
from aiplatform.server.projects.models import BinEntry, Project
from aiplatform.server.projects.service import bin as service
from aiplatform.server.projects.service import purge_overdue
from tests.conftest import Api
from tests.factories import (
    make_binned_dataset,
    make_binned_project,
    make_blob,
    make_version,
    references,
)
from tests.server.projects.conftest import audit_entries, list_bin, make_overdue

pytestmark = pytest.mark.usefixtures("client")


KILLED_PROGRAM = """
import os, signal
from aiplatform.server.composition import compose
from aiplatform.server.projects.service import bin as service

compose()
original, purged = service.purge, []

def purge(session, actor, entry):
    original(session, actor, entry)
    session.flush()
    purged.append(1)
    if len(purged) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

service.purge = purge
service.purge_overdue()
"""
"""Program that purges the bin and is killed in its second transaction, just before the commit."""


def select_entry_id(uuid: object) -> Any:
    return select(BinEntry.id).where(BinEntry.resource_uuid == uuid)


class TestOverdue:
    def test_only_overdue_entries_are_purged(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        due, later = (make_binned_dataset(session, project) for _ in range(2))
        gone = make_binned_project(session, project)
        make_overdue(session, due.uuid, gone.uuid)
        gone_id, kept = gone.id, str(later.uuid)
        assert purge_overdue() >= 2
        assert [item["uuid"] for item in list_bin(mine, project)] == [kept]
        session.expunge_all()
        assert session.get(Project, gone_id) is None
        assert purge_overdue() == 0

    def test_entry_still_in_use_does_not_prevent_other_purges(
        self, session: Session, mine: Api, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        used, free = (make_binned_dataset(session, project) for _ in range(2))
        make_overdue(session, used.uuid, free.uuid)
        kept, real = used.uuid, service.purge

        def purge(own: Session, actor: Any, entry: BinEntry) -> None:
            if entry.resource_uuid == kept:
                raise StillUsed(users="many")
            real(own, actor, entry)

        monkeypatch.setattr(service, "PURGE_BATCH_SIZE", 1)
        monkeypatch.setattr(service, "purge", purge)
        assert purge_overdue() == 1
        assert [item["uuid"] for item in list_bin(mine, project)] == [str(kept)]
        monkeypatch.undo()
        assert purge_overdue() == 1

    def test_killed_purge_leaves_complete_entries_and_can_be_repeated(
        self, session: Session, project: Project, database_url: str, home: Path
    ) -> None:
        datasets = []
        for _ in range(3):
            dataset = make_binned_dataset(session, project)
            file = make_blob(session, uuid4().bytes, "rows.parquet", home)
            make_version(session, dataset, file=file)
            datasets.append((dataset.id, dataset.uuid, file.sha256))
        make_overdue(session, *(uuid for _, uuid, _ in datasets))
        child = subprocess.run([sys.executable, "-c", KILLED_PROGRAM], check=False, timeout=120)
        assert child.returncode == -signal.SIGKILL
        session.rollback()

        def left() -> list[tuple[bool, int, int, int]]:
            return [
                (
                    session.get(Dataset, id_) is not None,
                    references(session, sha256),
                    len(session.scalars(select_entry_id(uuid)).all()),
                    len(audit_entries(session, "dataset:purged", uuid)),
                )
                for id_, uuid, sha256 in datasets
            ]

        # Each dataset is purged as a whole or not at all: row, files, bin entry and audit entry.
        assert sorted(left()) == [(False, 0, 0, 1), (True, 1, 1, 0), (True, 1, 1, 0)]
        session.rollback()
        session.expire_all()
        assert purge_overdue() == 2
        session.rollback()
        session.expire_all()
        assert left() == [(False, 0, 0, 1)] * 3

    def test_concurrent_restore_and_purge_have_one_winner(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        """Check that each dataset is either restored or purged, never both."""
        datasets = [make_binned_dataset(session, project) for _ in range(12)]
        make_overdue(session, *(dataset.uuid for dataset in datasets))
        bin_of = f"projects/{project.uuid}/bin"

        def restore(dataset: Dataset) -> int:
            code: int = mine.post(f"{bin_of}/{dataset.uuid}/restore").status_code
            return code

        with ThreadPoolExecutor(6) as pool:
            purges = [pool.submit(purge_overdue) for _ in range(2)]
            codes = [future.result(60) for future in [pool.submit(restore, h) for h in datasets]]
            purged = sum(future.result(60) for future in purges)
        assert set(codes) <= {200, 404}
        assert codes.count(200) + purged == len(datasets)
        listed = mine.get(f"projects/{project.uuid}/datasets").json()["items"]
        assert len(listed) == codes.count(200)
        assert list_bin(mine, project) == []
