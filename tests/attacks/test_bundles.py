"""Attack: code bundles with forged headers, and with paths that file systems don't accept."""

import gzip
import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aiplatform.data.bundles import BundleError, inspect

Pack = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    def pack(name: str = "main.py", **headers: str) -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(name)
            info.pax_headers = headers
            archive.addfile(info, io.BytesIO())
        path = tmp_path / "bundle.tar.gz"
        path.write_bytes(gzip.compress(buffer.getvalue()))
        return path

    return pack


def sparse(**more: str) -> dict[str, str]:
    return {f"GNU.sparse.{key}": value for key, value in more.items()}


@pytest.mark.parametrize(
    "headers",
    [
        sparse(major="1", minor="0", name="x", realsize="10"),
        sparse(major="1", minor="0"),
        sparse(major="x", minor="0"),
        sparse(map="0,1,2"),
        sparse(map="a,b"),
        sparse(size="nothing"),
        sparse(size="99999999999999999999", numblocks="1"),
        sparse(realsize="-1"),
        {"size": "x"},
        {"size": "-5"},
        {"mtime": "nan"},
        {"uid": "9" * 5000},
    ],
    ids=str,
)
def test_bundle_with_forged_header_is_read_or_refused(pack: Pack, headers: dict[str, str]) -> None:
    """Check that the only exception that can be raised is :class:`BundleError`."""
    path = pack(**headers)
    with suppress(BundleError):
        assert inspect(path).files == 1


def test_bundle_with_sparse_file_is_refused(pack: Pack) -> None:
    with pytest.raises(BundleError):
        inspect(pack(**sparse(major="1", minor="0", name="x", realsize="10")))


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 256 + "/b", "字" * 86])
def test_bundle_with_name_over_255_bytes_is_refused(pack: Pack, name: str) -> None:
    with pytest.raises(BundleError, match="255 bytes"):
        inspect(pack(name))


@pytest.mark.parametrize("name", ["x" * 255, "字" * 85])
def test_bundle_with_name_of_255_bytes_is_accepted(pack: Pack, name: str) -> None:
    assert inspect(pack(name)).files == 1
