"""Tests of blobs and the references to them, including several simultaneous writers."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.core.files import fetch_tree
from aiplatform.server.core.storage import (
    Blob,
    BlobGone,
    StoredFile,
    add_reference,
    files_of,
    get_store,
    store_file,
)
from tests.factories import make_model, make_project, make_user, references
from tests.server.core.blobs import StoreBlob, is_known


class TestStoreFile:
    def test_identical_content_is_stored_once(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        first, second = store_blob(b"the same"), store_blob(b"the same")
        assert first == second
        rows = session.scalars(select(Blob).where(Blob.sha256 == first.sha256)).all()
        assert len(rows) == 1
        assert b"".join(get_store().read(first.sha256)) == b"the same"

    def test_store_file_again_updates_touched_at(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob(b"used again")
        before = session.get_one(Blob, file.sha256).touched_at
        store_blob(b"used again")
        session.expire_all()
        assert session.get_one(Blob, file.sha256).touched_at > before

    def test_store_file_with_wrong_hash_is_refused(self, session: Session, tmp_path: Path) -> None:
        source = tmp_path / "liar"
        source.write_bytes(b"not what it says")
        with pytest.raises(RuntimeError):
            store_file(session, source, hashlib.sha256(b"something else").hexdigest(), 5)
        session.rollback()

    def test_store_file_same_content_by_many_at_once(
        self, session: Session, tmp_path: Path
    ) -> None:
        content = b"wanted by all"
        sha256 = hashlib.sha256(content).hexdigest()

        def one(part: int) -> None:
            source = tmp_path / f"copy{part}"
            source.write_bytes(content)
            with transaction() as own_session:
                store_file(own_session, source, sha256, len(content), move=part % 2 == 0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(16)))
        assert b"".join(get_store().read(sha256)) == content


class TestRefer:
    def test_files_of_returns_files_of_owner_by_path(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        model = make_model(session, make_project(session))
        other = make_model(session, make_project(session))
        files = [store_blob(path="b/2"), store_blob(path="a"), store_blob(path="b/10")]
        for file in files:
            add_reference(session, file, project_id=model.project_id, model_id=model.id)
        add_reference(session, files[0], project_id=other.project_id, model_id=other.id)
        session.commit()
        found = files_of(session, model_id=model.id)
        assert [file.path for file in found] == sorted(file.path for file in files)
        assert set(found) == set(files)

    def test_add_reference_to_unknown_blob_raises_blob_gone(self, session: Session) -> None:
        model = make_model(session, make_project(session))
        with pytest.raises(BlobGone) as gone:
            add_reference(session, StoredFile("x", "0" * 64, 1), project_id=None, model_id=model.id)
        assert gone.value.status == 409

    def test_add_reference_twice_with_same_path_is_refused(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        model = make_model(session, make_project(session))
        for _ in range(2):
            add_reference(session, store_blob(path="same"), project_id=None, model_id=model.id)
            if session.new:
                last = session
        with pytest.raises(IntegrityError):
            last.commit()
        session.rollback()

    def test_reference_without_owner_is_refused(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file = store_blob()
        add_reference(session, file, project_id=None)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()

    def test_reference_is_deleted_with_its_owner(
        self, session: Session, store_blob: StoreBlob
    ) -> None:
        file, owner = store_blob(), make_user(session)
        project = make_project(session, owner)
        model = make_model(session, project, files=[file])
        assert references(session, file.sha256) == 1
        session.execute(text("DELETE FROM projects WHERE id = :id"), {"id": project.id})
        session.commit()
        assert references(session, file.sha256) == 0
        assert files_of(session, model_id=model.id) == []
        assert is_known(file)


class TestFetch:
    def test_fetch_tree_copies_files_to_their_paths(
        self, store_blob: StoreBlob, tmp_path: Path
    ) -> None:
        files = [
            store_blob(b"1", "weights/a/1"),
            store_blob(b"2", "weights/2"),
            store_blob(b"", "empty"),
        ]
        target = tmp_path / "laid out"
        fetch_tree(files, target)
        found = {
            str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()
        }
        assert found == {"weights/a/1": b"1", "weights/2": b"2", "empty": b""}
