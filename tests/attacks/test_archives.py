"""Attack: archives that are larger than they look, or contain something other than rows."""

import gzip
import io
import tarfile
import zipfile

import pytest

from tests.conftest import Api
from tests.matrix.world import World


def upload(owner: Api, world: World, content: bytes, filename: str) -> tuple[int, str]:
    answer = owner.post(
        f"projects/{world.params['project']}/datasets",
        params={"name": f"a-{abs(hash((content[:99], filename)))}", "filename": filename},
        content=content,
    )
    return answer.status_code, answer.text


class TestBombs:
    @pytest.mark.slow
    def test_gzip_that_unpacks_to_512_mib_is_refused(self, owner: Api, world: World) -> None:
        """Upload one row of 512 MiB that is compressed to half a MiB."""
        packer = io.BytesIO()
        with gzip.GzipFile(fileobj=packer, mode="wb", compresslevel=9) as file:
            block = b"x" * (1 << 20)
            file.write(b'{"text": "')
            for _ in range(1 << 9):
                file.write(block)
            file.write(b'"}\n')
        status, text = upload(owner, world, packer.getvalue(), "rows.jsonl.gz")
        assert status == 422, text

    def test_nested_gzip_is_refused(self, owner: Api, world: World) -> None:
        content = b'{"text": "x"}\n'
        for _ in range(3):
            content = gzip.compress(content)
        status, text = upload(owner, world, content, "rows.jsonl.gz")
        assert status == 422, text

    def test_truncated_gzip_is_refused(self, owner: Api, world: World) -> None:
        content = gzip.compress(b'{"text": "x"}\n' * 1000)[:-20]
        status, text = upload(owner, world, content, "rows.jsonl.gz")
        assert status == 422, text


class TestArchives:
    def packed(self, kind: str, name: str) -> bytes:
        packer = io.BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(packer, "w") as archive:
                archive.writestr(name, '{"text": "x"}\n')
        else:
            with tarfile.open(fileobj=packer, mode="w:gz") as archive:
                link = tarfile.TarInfo(name)
                link.type = tarfile.SYMTYPE
                link.linkname = "/etc/passwd"
                archive.addfile(link)
        return packer.getvalue()

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    @pytest.mark.parametrize("name", ["rows.jsonl", "../../../tmp/aip-evil.jsonl"])
    @pytest.mark.parametrize("filename", ["rows.jsonl", "rows.zip", "rows.tar.gz", "rows.jsonl.gz"])
    def test_archive_is_refused_or_read_without_unpacking(
        self, owner: Api, world: World, kind: str, name: str, filename: str
    ) -> None:
        """Check that a TAR is refused, and a ZIP refused or read without writing its files."""
        from pathlib import Path

        status, text = upload(owner, world, self.packed(kind, name), filename)
        assert status in {201, 422}, text
        if kind == "tar":
            assert status == 422, text
        assert not Path("/tmp/aip-evil.jsonl").exists()
        assert "root:" not in text
