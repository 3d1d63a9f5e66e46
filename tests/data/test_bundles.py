"""Tests of code bundles: only valid ones are unpacked."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform.data import bundles
from aiplatform.data.bundles import BundleError, inspect, unpack

Change = Callable[[tarfile.TarInfo], None]


def pack(path: Path, *entries: tuple[str, bytes | None, Change | None]) -> Path:
    """Write a .tar.gz file.

    Args:
        path: The file to write.
        *entries: For each entry its name, its content (None for a directory), and a function that
            changes its header.
    """
    with tarfile.open(path, "w:gz") as archive:
        for name, content, change in entries:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            if change is not None:
                change(info)
            archive.addfile(info, io.BytesIO(content or b"") if info.isreg() else None)
    return path


def as_link(kind: bytes, target: str) -> Change:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, target, 0

    return change


def test_unpack_writes_files_and_keeps_only_the_executable_bit(tmp_path: Path) -> None:
    def executable(info: tarfile.TarInfo) -> None:
        info.mode, info.uid, info.uname = 0o4777, 0, "root"

    path = pack(
        tmp_path / "b.tar.gz",
        ("./pkg", None, None),
        ("./pkg/a.py", b"print(1)\n", None),
        ("run.sh", b"#!/bin/sh\n", executable),
    )
    assert inspect(path) == bundles.BundleFacts(2, 19)
    unpack(path, tmp_path / "code")
    assert (tmp_path / "code/pkg/a.py").read_text() == "print(1)\n"
    assert (tmp_path / "code/run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "code/pkg/a.py").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("/etc/passwd", None, "leads out"),
        ("../x", None, "leads out"),
        ("a/../../x", None, "leads out"),
        ("a\\..\\x", None, "leads out"),
        ("link", as_link(tarfile.SYMTYPE, "/etc/passwd"), "neither a regular file"),
        ("hard", as_link(tarfile.LNKTYPE, "ok.py"), "neither a regular file"),
        ("pipe", as_link(tarfile.FIFOTYPE, ""), "neither a regular file"),
        ("device", as_link(tarfile.CHRTYPE, ""), "neither a regular file"),
        ("ok.py", None, "two entries"),
        ("ok.py/x", None, "two entries"),
        ("x" * 500, None, "longer than"),
    ],
)
def test_bundle_with_unsafe_entry_is_rejected(
    tmp_path: Path, name: str, change: Change | None, match: str
) -> None:
    path = pack(tmp_path / "b.tar.gz", ("ok.py", b"1", None), (name, b"2", change))
    with pytest.raises(BundleError, match=match):
        inspect(path)
    with pytest.raises(BundleError, match=match):
        unpack(path, tmp_path / "below/code")
    assert not list(tmp_path.rglob("x"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar either" * 100)],
    ids=["empty", "raw", "gz"],
)
def test_inspect_file_that_is_not_an_archive_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BundleError):
        inspect(tmp_path / "b")


def test_inspect_truncated_bundle_is_rejected(tmp_path: Path) -> None:
    path = pack(tmp_path / "b", ("a.py", bytes(range(256)) * 400, None))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match=r"can't be read|unexpected end"):
        inspect(path)


def test_inspect_decompression_bomb_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cover too many files, a file that is too long, and a header that would fill the memory."""
    monkeypatch.setattr(bundles, "MAX_FILES", 10)
    monkeypatch.setattr(bundles, "MAX_UNPACKED_BYTES", 1 << 20)
    many = pack(tmp_path / "many", *((f"{n}.py", b"", None) for n in range(11)))
    with pytest.raises(BundleError, match="more than 10"):
        inspect(many)
    long = pack(tmp_path / "long", ("zeros", bytes(2 << 20), None))
    with pytest.raises(BundleError, match="unpacks to more than 1 MiB"):
        inspect(long)
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 33
    with gzip.open(tmp_path / "header", "wb") as raw:
        raw.write(header.tobuf() + bytes(4096))
    with pytest.raises(BundleError, match=r"absurd|can't be read"):
        inspect(tmp_path / "header")
