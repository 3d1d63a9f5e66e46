"""Blobs and who refers to them, also when several do so at once."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, NoResultFound
from sqlalchemy.orm import Session

from aiplatform.server.core import storage
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import (
    Blob,
    BlobRef,
    StoredFile,
    collect_blobs,
    fetch_tree,
    files_of,
    get_store,
    keep,
    refer,
)
from tests.factories import make_model, make_project, make_user, number, references

NOW = timedelta(0)
Keep = Callable[..., StoredFile]


@pytest.fixture
def stored(session: Session, tmp_path: Path) -> Keep:
    """Keep some content (by default something new) and commit."""

    def stored(content: bytes | None = None, path: str = "file") -> StoredFile:
        content = f"content {number()}".encode() if content is None else content
        source = tmp_path / f"source{number()}"
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        keep(session, source, sha256, len(content))
        session.commit()
        return StoredFile(path, sha256, len(content))

    return stored


def own(session: Session, file: StoredFile, **owner: Any) -> None:
    model = make_model(session, make_project(session))
    refer(session, file, project_id=model.project_id, model_id=model.id, **owner)
    session.commit()


def is_known(file: StoredFile) -> bool:
    with transaction() as session:
        return session.get(Blob, file.sha256) is not None


class TestKeep:
    def test_identical_content_is_stored_once(self, session: Session, stored: Keep) -> None:
        first, second = stored(b"the same"), stored(b"the same")
        assert first == second
        rows = session.scalars(select(Blob).where(Blob.sha256 == first.sha256)).all()
        assert len(rows) == 1
        assert b"".join(get_store().read(first.sha256)) == b"the same"

    def test_keeping_again_counts_as_use(self, session: Session, stored: Keep) -> None:
        file = stored(b"used again")
        before = session.get_one(Blob, file.sha256).touched_at
        stored(b"used again")
        session.expire_all()
        assert session.get_one(Blob, file.sha256).touched_at > before

    def test_content_is_not_changed_by_its_name(self, session: Session, tmp_path: Path) -> None:
        source = tmp_path / "liar"
        source.write_bytes(b"not what it says")
        with pytest.raises(RuntimeError):
            keep(session, source, hashlib.sha256(b"something else").hexdigest(), 5)
        session.rollback()

    def test_many_at_once(self, session: Session, tmp_path: Path) -> None:
        content = b"wanted by all"
        sha256 = hashlib.sha256(content).hexdigest()

        def one(part: int) -> None:
            source = tmp_path / f"copy{part}"
            source.write_bytes(content)
            with transaction() as own_session:
                keep(own_session, source, sha256, len(content), move=part % 2 == 0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(16)))
        assert b"".join(get_store().read(sha256)) == content


class TestRefer:
    def test_files_of_an_owner_by_path(self, session: Session, stored: Keep) -> None:
        model = make_model(session, make_project(session))
        other = make_model(session, make_project(session))
        files = [stored(path="b/2"), stored(path="a"), stored(path="b/10")]
        for file in files:
            refer(session, file, project_id=model.project_id, model_id=model.id)
        refer(session, files[0], project_id=other.project_id, model_id=other.id)
        session.commit()
        found = files_of(session, model_id=model.id)
        assert [file.path for file in found] == sorted(file.path for file in files)
        assert set(found) == set(files)

    def test_what_was_never_kept_can_not_be_referred_to(self, session: Session) -> None:
        model = make_model(session, make_project(session))
        with pytest.raises(NoResultFound):
            refer(session, StoredFile("x", "0" * 64, 1), project_id=None, model_id=model.id)

    def test_a_path_of_an_owner_is_one_file(self, session: Session, stored: Keep) -> None:
        model = make_model(session, make_project(session))
        for _ in range(2):
            refer(session, stored(path="same"), project_id=None, model_id=model.id)
            if session.new:
                last = session
        with pytest.raises(IntegrityError):
            last.commit()
        session.rollback()

    def test_a_reference_has_exactly_one_owner(self, session: Session, stored: Keep) -> None:
        file = stored()
        refer(session, file, project_id=None)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()

    def test_goes_with_its_owner(self, session: Session, stored: Keep) -> None:
        file, owner = stored(), make_user(session)
        project = make_project(session, owner)
        model = make_model(session, project, files=[file])
        assert references(session, file.sha256) == 1
        session.execute(text("DELETE FROM projects WHERE id = :id"), {"id": project.id})
        session.commit()
        assert references(session, file.sha256) == 0
        assert files_of(session, model_id=model.id) == []
        assert is_known(file)


class TestFetch:
    def test_lays_files_out(self, stored: Keep, tmp_path: Path) -> None:
        files = [stored(b"1", "weights/a/1"), stored(b"2", "weights/2"), stored(b"", "empty")]
        target = tmp_path / "laid out"
        fetch_tree(files, target)
        found = {
            str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()
        }
        assert found == {"weights/a/1": b"1", "weights/2": b"2", "empty": b""}


class TestCollect:
    @pytest.fixture(autouse=True)
    def _nothing_left_by_others(self, database_url: str) -> None:
        collect_blobs(grace=NOW)

    def test_takes_what_nothing_refers_to(self, session: Session, stored: Keep) -> None:
        used, unused = stored(), stored()
        own(session, used)
        assert collect_blobs(grace=NOW) >= 1
        assert (is_known(used), is_known(unused)) == (True, False)
        assert get_store().exists(used.sha256)
        assert not get_store().exists(unused.sha256)
        assert collect_blobs(grace=NOW) == 0

    def test_waits_for_the_grace_period(self, stored: Keep) -> None:
        file = stored()
        assert collect_blobs() == 0
        assert is_known(file)

    def test_takes_at_most_what_it_was_told(self, stored: Keep) -> None:
        for _ in range(3):
            stored()
        assert collect_blobs(grace=NOW, limit=2) == 2
        assert collect_blobs(grace=NOW) == 1

    def test_passes_over_what_is_just_being_referred_to(
        self, session: Session, stored: Keep
    ) -> None:
        file = stored()
        model = make_model(session, make_project(session))
        refer(session, file, project_id=model.project_id, model_id=model.id)
        assert collect_blobs(grace=NOW) == 0
        session.commit()
        assert collect_blobs(grace=NOW) == 0
        assert is_known(file)

    def test_sees_a_reference_made_after_it_chose(
        self, session: Session, stored: Keep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = stored()
        original, calls = storage.transaction, []

        @contextmanager
        def slow() -> Iterator[Session]:
            calls.append(1)
            if len(calls) == 2:  # after the candidates were read
                own(session, file)
            with original() as inner:
                yield inner

        monkeypatch.setattr(storage, "transaction", slow)
        assert collect_blobs(grace=NOW) == 0
        assert len(calls) == 2
        assert get_store().exists(file.sha256)

    def test_keeping_what_is_being_collected_stores_it_again(
        self, session: Session, stored: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = b"thrown away and wanted"
        file = stored(content)
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
                keep(own_session, source, file.sha256, file.size)

        with ThreadPoolExecutor(2) as pool:
            collected = pool.submit(collect_blobs, grace=NOW)
            assert deleting.wait(10)
            kept = pool.submit(keep_again)
            with pytest.raises(TimeoutError):
                kept.result(0.3)  # it waits for the row
            go_on.set()
            assert collected.result(10) == 1
            kept.result(10)
        assert is_known(file)
        assert b"".join(store.read(file.sha256)) == content

    def test_a_store_that_fails_keeps_the_row(
        self, stored: Keep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = stored()

        def fail(_: str) -> None:
            raise OSError("disk on fire")

        monkeypatch.setattr(get_store(), "delete", fail)
        with pytest.raises(OSError, match="on fire"):
            collect_blobs(grace=NOW)
        assert is_known(file)
        monkeypatch.undo()
        assert collect_blobs(grace=NOW) == 1

    def test_takes_a_file_whose_transaction_failed(self, session: Session, tmp_path: Path) -> None:
        content = f"orphan {number()}".encode()
        sha256 = hashlib.sha256(content).hexdigest()
        source = tmp_path / "orphan"
        source.write_bytes(content)
        keep(session, source, sha256, len(content))
        session.rollback()
        assert get_store().exists(sha256)
        assert collect_blobs() == 0  # its owner may just be trying again
        assert get_store().exists(sha256)
        storage.adopt_orphans(grace=NOW)
        assert collect_blobs(grace=NOW) == 1
        assert not get_store().exists(sha256)

    def test_several_collectors_at_once(self, stored: Keep) -> None:
        for _ in range(12):
            stored()
        with ThreadPoolExecutor(4) as pool:
            counts = list(pool.map(lambda _: collect_blobs(grace=NOW), range(4)))
        assert sum(counts) == 12

    def test_no_reference_ever_loses_its_file(self, session: Session, stored: Keep) -> None:
        """References come and go while a collector runs all the time."""
        stop, model = threading.Event(), make_model(session, make_project(session))
        content = b"contended"
        file = stored(content)

        def collect() -> None:
            while not stop.is_set():
                collect_blobs(grace=NOW)

        with ThreadPoolExecutor(1) as pool:
            collector = pool.submit(collect)
            try:
                for turn in range(40):
                    stored(content)
                    try:
                        refer(session, file, project_id=None, model_id=model.id)
                        session.commit()
                    except NoResultFound:  # collected since it was kept
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
