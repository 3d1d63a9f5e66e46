"""Tests of the blob stores: blobs are complete or absent, stored once, and read-only."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore, S3Store

from aiplatform.data import blobs
from aiplatform.data.blobs import (
    BlobDamagedError,
    BlobNotFoundError,
    BlobStore,
    LocalBlobStore,
    StoreUnavailableError,
    hash_file,
    open_store,
)
from aiplatform.data.object_blobs import ObjectBlobStore

ABSENT = "0" * 64


@pytest.fixture(params=["directory", "memory", "object directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    match request.param:
        case "directory":
            yield LocalBlobStore(tmp_path / "blobs")
        case "memory":
            yield ObjectBlobStore(MemoryStore(), "/some/prefix/")
        case _:
            (tmp_path / "objects").mkdir()
            yield ObjectBlobStore(LocalStore(tmp_path / "objects"))


def put(store: BlobStore, folder: Path, content: bytes, *, move: bool = False) -> str:
    path = folder / f"source-{len(content)}"
    path.write_bytes(content)
    sha256, size = hash_file(path)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert size == len(content)
    store.put_file(path, sha256, move=move)
    assert path.exists() is not move
    return sha256


CONTENT = os.urandom(3 * 1024 * 1024 + 17)


def test_read_returns_all_or_a_range_of_a_stored_blob(store: BlobStore, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path, CONTENT)
    chunks = list(store.read(sha256))
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) <= 1024 * 1024
    assert store.exists(sha256)
    assert store.size(sha256) == len(CONTENT)
    assert b"".join(store.read(sha256, 5, 10)) == CONTENT[5:15]
    assert b"".join(store.read(sha256, 2_000_000)) == CONTENT[2_000_000:]
    assert b"".join(store.read(sha256, len(CONTENT) - 3, 100)) == CONTENT[-3:]
    assert b"".join(store.read(sha256, len(CONTENT))) == b""
    assert b"".join(store.read(sha256, 0, 0)) == b""


def test_empty_blob_can_be_stored_read_and_fetched(store: BlobStore, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path, b"")
    assert b"".join(store.read(sha256)) == b""
    store.fetch(sha256, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b""


@pytest.mark.parametrize("move", [False, True])
def test_put_file_of_a_stored_blob_changes_nothing(
    store: BlobStore, tmp_path: Path, move: bool
) -> None:
    sha256 = put(store, tmp_path, CONTENT, move=move)
    [entry] = store.list()
    assert put(store, tmp_path, CONTENT, move=move) == sha256
    assert list(store.list()) == [entry]
    assert entry.sha256 == sha256
    assert entry.size == len(CONTENT)


def test_list_returns_sorted_blobs_without_deleted_ones(store: BlobStore, tmp_path: Path) -> None:
    put_hashes = sorted(put(store, tmp_path, b"x" * n) for n in range(5))
    assert [entry.sha256 for entry in store.list()] == put_hashes
    store.delete(put_hashes[2])
    store.delete(put_hashes[2])
    assert [entry.sha256 for entry in store.list()] == put_hashes[:2] + put_hashes[3:]
    assert not store.exists(put_hashes[2])


def test_fetch_replaces_the_target_by_a_read_only_file(store: BlobStore, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path, CONTENT)
    target = tmp_path / "fetched"
    target.write_bytes(b"older")
    store.fetch(sha256, target)
    assert target.read_bytes() == CONTENT
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_absent_blob_raises_not_found(store: BlobStore, tmp_path: Path) -> None:
    assert not store.exists(ABSENT)
    for use in (
        lambda: store.size(ABSENT),
        lambda: store.read(ABSENT),
        lambda: store.fetch(ABSENT, tmp_path / "fetched"),
        lambda: store.local_path(ABSENT),
    ):
        with pytest.raises(BlobNotFoundError):
            use()
    assert not (tmp_path / "fetched").exists()


def test_put_file_with_wrong_hash_is_rejected(store: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    with pytest.raises(BlobDamagedError):
        store.put_file(path, ABSENT)
    assert not store.exists(ABSENT)
    assert list(store.list()) == []
    assert path.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", "0" * 63, "0" * 64 + "\n"])
def test_name_that_is_not_a_hash_is_rejected(store: BlobStore, tmp_path: Path, name: str) -> None:
    for use in (
        lambda: store.exists(name),
        lambda: store.delete(name),
        lambda: store.read(name),
        lambda: store.put_file(tmp_path, name),
    ):
        with pytest.raises(ValueError, match="not a SHA-256"):
            use()


def test_local_blob_is_read_only_in_a_sharded_directory(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    sha256 = put(store, tmp_path, b"content", move=True)
    path = tmp_path / "blobs" / sha256[:2] / sha256[2:4] / sha256
    assert store.local_path(sha256) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_local_move_renames_and_fetch_links(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    source = tmp_path / "source"
    source.write_bytes(b"content")
    inode = source.stat().st_ino
    sha256, _ = hash_file(source)
    store.put_file(source, sha256, move=True)
    store.fetch(sha256, tmp_path / "fetched")
    path = store.local_path(sha256)
    assert path is not None
    assert path.stat().st_ino == (tmp_path / "fetched").stat().st_ino == inode


def test_put_file_copy_is_independent_of_its_source(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    sha256 = put(store, tmp_path, b"content")
    (tmp_path / "source-7").write_bytes(b"changed")
    assert b"".join(store.read(sha256)) == b"content"


def test_fetch_copies_if_links_are_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    store = LocalBlobStore(tmp_path / "blobs")
    sha256 = put(store, tmp_path, b"content")
    monkeypatch.setattr(os, "link", refuse)
    store.fetch(sha256, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "fetched").stat().st_mode) == 0o444


@pytest.mark.parametrize("move", [False, True])
def test_put_file_failing_at_any_step_leaves_no_partial_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: bool
) -> None:
    """Make the n-th operating system call fail, for every n."""
    content = os.urandom(100_000)
    step = 0
    while True:
        root = tmp_path / f"blobs-{step}"
        store = LocalBlobStore(root)
        source = tmp_path / "source"
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        sha256, _ = hash_file(source)
        calls = iter(range(step))

        def failing(real, calls=calls):
            def call(*arguments, **keywords):
                if next(calls, None) is None:
                    raise OSError(28, "No space left on device")
                return real(*arguments, **keywords)

            return call

        with monkeypatch.context() as patch:
            for module, name in ((os, "fsync"), (os, "open"), (Path, "rename"), (Path, "chmod")):
                patch.setattr(module, name, failing(getattr(module, name)))
            try:
                store.put_file(source, sha256, move=move)
                finished = True
            except OSError:
                finished = False
        for entry in store.list():
            assert b"".join(store.read(entry.sha256)) == content
        assert finished or source.exists() or store.exists(sha256)
        assert list((root / "incoming").iterdir()) == []
        if finished:
            break
        step += 1
    assert step > 3


def test_put_file_syncs_content_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    happened: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append("fsync"), real_fsync(fd))[1])
    monkeypatch.setattr(
        Path, "rename", lambda path, to: (happened.append("rename"), real_rename(path, to))[1]
    )
    put(store, tmp_path, b"content")
    assert happened[:2] == ["fsync", "rename"]
    # The directories ab/cd, ab and the root each contain one new name.
    assert happened[2:] == ["fsync"] * 3


def test_concurrent_writers_of_the_same_content_store_one_blob(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    content = os.urandom(2_000_000)
    sha256 = hashlib.sha256(content).hexdigest()
    errors: list[BaseException] = []

    def write(number: int) -> None:
        path = tmp_path / f"source-{number}"
        path.write_bytes(content)
        try:
            store.put_file(path, sha256, move=number % 2 == 0)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [entry.sha256 for entry in store.list()] == [sha256]
    assert b"".join(store.read(sha256)) == content


def test_read_of_a_deleted_blob_continues_to_its_end(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    sha256 = put(store, tmp_path, CONTENT)
    chunks = store.read(sha256)
    first = next(chunks)
    store.delete(sha256)
    assert first + b"".join(chunks) == CONTENT


def test_delete_incomplete_keeps_recent_and_complete_files(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    sha256 = put(store, tmp_path, b"content")
    old, new = (store.root / "incoming" / name for name in ("old", "new"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert store.delete_incomplete(3600) == 1
    assert not old.exists()
    assert new.exists()
    assert store.exists(sha256)


def test_open_store_accepts_file_and_s3_urls_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = open_store(f"file://{tmp_path}/with%20space")
    assert isinstance(local, LocalBlobStore)
    assert local.root == tmp_path / "with space"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert isinstance(open_store("s3://bucket/some/prefix"), ObjectBlobStore)
    for url in ("http://example.org/", "file://elsewhere/dir", "s3://", "/plain/path"):
        with pytest.raises(ValueError, match="a blob store is"):
            open_store(url)


def test_unreachable_object_store_raises_an_os_error(tmp_path: Path) -> None:
    away = S3Store(
        "bucket", endpoint="http://127.0.0.1:1", region="x", access_key_id="x",
        secret_access_key="x", client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )  # fmt: skip
    store = ObjectBlobStore(away)
    (tmp_path / "file").write_bytes(b"x")
    sha256, _ = hash_file(tmp_path / "file")
    for attempt in (
        lambda: store.exists(sha256),
        lambda: store.size(sha256),
        lambda: store.read(sha256),
        lambda: store.fetch(sha256, tmp_path / "fetched"),
        lambda: store.put_file(tmp_path / "file", sha256),
        lambda: store.delete(sha256),
        lambda: list(store.list()),
    ):
        with pytest.raises(StoreUnavailableError):
            attempt()
    assert issubclass(StoreUnavailableError, OSError)


def test_fetch_of_a_damaged_object_is_rejected(tmp_path: Path) -> None:
    import obstore

    memory = MemoryStore()
    store = ObjectBlobStore(memory)
    obstore.put(memory, blobs.blob_key(ABSENT), b"something else")
    with pytest.raises(BlobDamagedError):
        store.fetch(ABSENT, tmp_path / "fetched")
    assert list(tmp_path.iterdir()) == []
