"""Tests of garbage collection of blobs."""

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core import garbage_collection
from aiplatform.server.core.database import transaction
from aiplatform.server.core.garbage_collection import (
    collect_blobs,
    delete_marked_files,
    mark_unreferenced_blobs,
)
from aiplatform.server.core.storage import (
    BlobGone,
    BlobRef,
    PendingDeletion,
    StoredFile,
    add_reference,
    get_store,
    store_file,
)
from tests.factories import make_model, make_project, number, references
from tests.server.core.blobs import StoreBlob, is_known

NOW = timedelta(0)


def own(session: Session, file: StoredFile, **owner: Any) -> None:
    model = make_model(session, make_project(session))
    add_reference(session, file, project_id=model.project_id, model_id=model.id, **owner)
    session.commit()


def is_marked(file: StoredFile) -> bool:
    with transaction() as session:
        return session.get(PendingDeletion, file.sha256) is not None


KILLED = """
import os, signal
from datetime import timedelta
from aiplatform.server.core import garbage_collection, storage

store = storage.get_store()
delete = store.delete

def die(sha256):
    if not {before}:
        delete(sha256)
    os.kill(os.getpid(), signal.SIGKILL)

store.delete = die
garbage_collection.delete_marked_files(grace=timedelta(0))
"""
"""Program that runs a collection and is killed before or after it deletes its first file."""


class TestCollect:
    @pytest.fixture(autouse=True)
    def _nothing_left_by_others(self, database_url: str) -> None:
        collect_blobs(grace=NOW)

    def test_collect_deletes_only_unreferenced_blobs(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        used, unused = store_blob(), store_blob()
        own(session, used)
        assert collect_blobs(grace=NOW) >= 1
        assert (is_known(used), is_known(unused)) == (True, False)
        assert get_store().exists(used.sha256)
        assert not get_store().exists(unused.sha256)
        assert collect_blobs(grace=NOW) == 0

    def test_collect_within_grace_period_keeps_blob(self, store_blob: StoreBlob) -> None:
        file = store_blob()
        assert collect_blobs() == 0
        assert is_known(file)

    def test_collect_deletes_at_most_the_limit(self, store_blob: StoreBlob) -> None:
        for _ in range(3):
            store_blob()
        assert collect_blobs(grace=NOW, limit=2) == 2
        assert collect_blobs(grace=NOW) == 1

    def test_collect_during_uncommitted_reference_skips_blob(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob()
        model = make_model(session, make_project(session))
        add_reference(session, file, project_id=model.project_id, model_id=model.id)
        assert collect_blobs(grace=NOW) == 0
        session.commit()
        assert collect_blobs(grace=NOW) == 0
        assert is_known(file)

    def test_collect_sees_reference_made_after_selection(
        self, session: Session, store_blob: StoreBlob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = store_blob()
        original, calls = garbage_collection.transaction, []

        @contextmanager
        def slow() -> Iterator[Session]:
            calls.append(1)
            if len(calls) == 2:  # after the candidates were read
                own(session, file)
            with original() as inner:
                yield inner

        monkeypatch.setattr(garbage_collection, "transaction", slow)
        assert collect_blobs(grace=NOW) == 0
        assert len(calls) == 3  # the third transaction looks for marked files
        assert get_store().exists(file.sha256)

    def test_store_file_during_deletion_stores_content_again(
        self,
        session: Session,
        store_blob: StoreBlob,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        content = b"thrown away and wanted"
        file = store_blob(content)
        store, deleting, go_on = get_store(), threading.Event(), threading.Event()
        delete = store.delete

        def slow_delete(sha256: str) -> None:
            deleting.set()
            assert go_on.wait(10)
            delete(sha256)

        monkeypatch.setattr(store, "delete", slow_delete)
        source = tmp_path / "again"
        source.write_bytes(content)

        def keep_again() -> None:
            with transaction() as own_session:
                store_file(own_session, source, file.sha256, file.size)

        with ThreadPoolExecutor(2) as pool:
            collected = pool.submit(collect_blobs, grace=NOW)
            assert deleting.wait(10)
            kept = pool.submit(keep_again)
            with pytest.raises(TimeoutError):
                kept.result(0.3)  # the writer waits for the lock on the row
            go_on.set()
            assert collected.result(10) == 1
            kept.result(10)
        assert is_known(file)
        assert b"".join(store.read(file.sha256)) == content

    def test_collect_after_store_failure_deletes_file(
        self, store_blob: StoreBlob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = store_blob()

        def fail(_: str) -> None:
            raise OSError("disk on fire")

        monkeypatch.setattr(get_store(), "delete", fail)
        with pytest.raises(OSError, match="on fire"):
            collect_blobs(grace=NOW)
        assert (is_known(file), is_marked(file)) == (False, True)
        monkeypatch.undo()
        assert collect_blobs(grace=NOW) == 1
        assert not is_marked(file)

    def test_marked_file_is_deleted_after_commit_and_grace_period(
        self, store_blob: StoreBlob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = store_blob()
        assert mark_unreferenced_blobs(grace=NOW) == 1
        assert (is_known(file), is_marked(file)) == (False, True)
        assert delete_marked_files() == 0
        assert get_store().exists(file.sha256)
        seen = []
        store = get_store()
        delete = store.delete

        def look(sha256: str) -> None:
            seen.append(is_known(file))
            delete(sha256)

        monkeypatch.setattr(store, "delete", look)
        assert delete_marked_files(grace=NOW) == 1
        assert seen == [False]

    def test_store_file_of_marked_content_restores_blob(self, store_blob: StoreBlob) -> None:
        content = b"marked and wanted"
        file = store_blob(content)
        assert mark_unreferenced_blobs(grace=NOW) == 1
        store_blob(content)
        assert (is_known(file), is_marked(file)) == (True, False)
        assert delete_marked_files(grace=NOW) == 0
        assert get_store().exists(file.sha256)

    def test_store_file_that_rolls_back_leaves_file_marked(
        self, session: Session, store_blob: StoreBlob, tmp_path: Path
    ) -> None:
        content = b"marked and almost wanted"
        file = store_blob(content)
        assert mark_unreferenced_blobs(grace=NOW) == 1
        source = tmp_path / "source"
        source.write_bytes(content)
        store_file(session, source, file.sha256, file.size)
        assert delete_marked_files(grace=NOW) == 0  # the row is locked
        session.rollback()
        assert delete_marked_files(grace=NOW) == 1
        assert not get_store().exists(file.sha256)

    def test_add_reference_to_marked_blob_restores_it(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob()
        assert mark_unreferenced_blobs(grace=NOW) == 1
        own(session, file)
        assert (is_known(file), is_marked(file)) == (True, False)
        assert collect_blobs(grace=NOW) == 0
        assert get_store().exists(file.sha256)

    def test_add_reference_to_marked_blob_by_several_at_once_restores_it(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob()
        assert mark_unreferenced_blobs(grace=NOW) == 1
        models = [make_model(session, make_project(session)) for _ in range(6)]

        def refer_to_it(model_id: int) -> None:
            with transaction() as own_session:
                add_reference(own_session, file, project_id=None, model_id=model_id)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(refer_to_it, [model.id for model in models]))
        assert references(session, file.sha256) == 6

    def test_add_reference_to_marked_blob_without_file_raises_blob_gone(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob()
        assert mark_unreferenced_blobs(grace=NOW) == 1
        get_store().delete(file.sha256)
        with pytest.raises(BlobGone):
            own(session, file)
        session.rollback()

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_killed_collector_leaves_consistent_state(
        self, session: Session, store_blob: StoreBlob, moment: str, database_url: str
    ) -> None:
        """Kill a collector before or after it deletes a file; a writer and a collector continue."""
        kept, dropped = store_blob(b"killed, kept " + moment.encode()), store_blob()
        assert mark_unreferenced_blobs(grace=NOW) == 2
        code = KILLED.format(before=moment == "before")
        for _ in range(2):
            child = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
            assert child.returncode == -signal.SIGKILL
            assert (is_marked(kept), is_marked(dropped)) == (True, True)
        store_blob(b"killed, kept " + moment.encode())
        assert delete_marked_files(grace=NOW) == 1
        assert (is_known(kept), is_marked(kept), is_marked(dropped)) == (True, False, False)
        assert b"".join(get_store().read(kept.sha256)) == b"killed, kept " + moment.encode()
        assert not get_store().exists(dropped.sha256)

    def test_adopted_file_of_failed_transaction_is_collected(
        self, session: Session, tmp_path: Path
    ) -> None:
        content = f"orphan {number()}".encode()
        sha256 = hashlib.sha256(content).hexdigest()
        source = tmp_path / "orphan"
        source.write_bytes(content)
        store_file(session, source, sha256, len(content))
        session.rollback()
        assert get_store().exists(sha256)
        assert collect_blobs() == 0  # its writer may be repeating the transaction
        assert get_store().exists(sha256)
        garbage_collection.adopt_orphans(grace=NOW)
        assert collect_blobs(grace=NOW) == 1
        assert not get_store().exists(sha256)

    def test_simultaneous_collectors_delete_each_blob_once(self, store_blob: StoreBlob) -> None:
        for _ in range(12):
            store_blob()
        with ThreadPoolExecutor(4) as pool:
            counts = list(pool.map(lambda _: collect_blobs(grace=NOW), range(4)))
        assert sum(counts) == 12

    def test_referenced_blob_never_loses_its_file(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        """Add and delete references while a collector runs continuously."""
        stop, model = threading.Event(), make_model(session, make_project(session))
        content = b"contended"
        file = store_blob(content)

        def collect() -> None:
            while not stop.is_set():
                collect_blobs(grace=NOW)

        with ThreadPoolExecutor(1) as pool:
            collector = pool.submit(collect)
            try:
                for turn in range(40):
                    store_blob(content)
                    try:
                        add_reference(session, file, project_id=None, model_id=model.id)
                        session.commit()
                    except BlobGone:  # collected since it was stored
                        session.rollback()
                        continue
                    assert get_store().exists(file.sha256), turn
                    for reference in session.scalars(select(BlobRef)):
                        if reference.model_id == model.id:
                            session.delete(reference)
                    session.commit()
            finally:
                stop.set()
            collector.result(10)
