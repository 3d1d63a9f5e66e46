"""Tests of the verification of exported audit files, both intact and tampered with."""

import gzip
from pathlib import Path

import pytest

from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.service.file_verification import verify_file
from tests.server.audit.helpers import edit, first, seal, write, write_seals, write_selection

pytestmark = pytest.mark.usefixtures("fresh_database")


class TestFiles:
    def test_file_of_whole_seals_is_intact(self, tmp_path: Path) -> None:
        write(25)
        head = seal(max_rows=10)
        verdict = verify_file(write_seals(tmp_path / "f", 1, 3), expected=[head])
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.seals, verdict.head) == (25, 3, head)
        packed = tmp_path / "g"
        packed.write_bytes(gzip.compress((tmp_path / "f").read_bytes()))
        assert verify_file(packed).is_intact
        packed.write_bytes(packed.read_bytes()[:-20])
        assert not verify_file(packed).is_intact

    def test_altered_byte_of_compressed_file_is_reported(self, tmp_path: Path) -> None:
        write(5)
        seal()
        whole = gzip.compress(write_seals(tmp_path / "f", 1, 1).read_bytes(), mtime=0)
        packed = tmp_path / "g"
        for place in range(10, len(whole)):  # after the header, which does not affect the content
            altered = bytearray(whole)
            altered[place] ^= 0x55
            packed.write_bytes(altered)
            assert not verify_file(packed).is_intact, place

    def test_file_of_a_selection_is_intact(self, tmp_path: Path, url: str) -> None:
        write(25)
        head = seal(max_rows=10)
        write(2)
        verdict = verify_file(write_selection(tmp_path / "f"), expected=[head])
        assert verdict.is_intact, verdict.findings
        assert (verdict.rows, verdict.seals, verdict.unsealed) == (27, 3, 2)
        assert verify_file(write_selection(tmp_path / "g", text="nothing")).is_intact

    @pytest.mark.parametrize("kind", ["seals", "selection"])
    def test_altered_row_is_named(self, tmp_path: Path, kind: str) -> None:
        rows = write(25)
        seal(max_rows=10)
        path = tmp_path / "f"
        write_seals(path, 1, 3) if kind == "seals" else write_selection(path)
        wanted = f'{{"id": {rows[12]},'

        def alter(found: list[str]) -> None:
            at = next(i for i, line in enumerate(found) if line.startswith(wanted))
            found[at] = found[at].replace("success", "denied")

        assert first(verify_file(edit(path, alter))) == (Kind.ALTERED, rows[12])

    def test_missing_and_inserted_rows_are_distinguished(self, tmp_path: Path) -> None:
        rows = write(25)
        seal(max_rows=10)

        def at(found: list[str], row: int) -> int:
            return next(i for i, line in enumerate(found) if line.startswith(f'{{"id": {row},'))

        path = write_seals(tmp_path / "f", 1, 3)
        missing = verify_file(edit(path, lambda found: found.pop(at(found, rows[12]))))
        assert first(missing) == (Kind.MISSING, rows[12])
        path = write_seals(tmp_path / "f", 1, 3)
        doubled = verify_file(edit(path, lambda f: f.insert(at(f, rows[12]), f[at(f, rows[3])])))
        assert first(doubled) == (Kind.INSERTED, rows[3])
        path = write_seals(tmp_path / "f", 1, 3)
        added = verify_file(
            edit(
                path,
                lambda f: f.insert(
                    at(f, rows[24]) + 1,
                    f[at(f, rows[3])].replace(f'"id": {rows[3]}', '"id": 99999'),
                ),
            )
        )
        assert first(added) == (Kind.INSERTED, 99999)

    def test_row_missing_from_a_complete_export_is_reported(self, tmp_path: Path) -> None:
        """Remove a row and its proof, and change the row count at the end of the file to match."""
        rows = write(25)
        seal(max_rows=10)

        def take_out(found: list[str]) -> None:
            at = next(i for i, x in enumerate(found) if x.startswith(f'{{"id": {rows[12]},'))
            del found[at : at + 2]
            found[-1] = found[-1].replace('"rows": 25', '"rows": 24')

        path = edit(write_selection(tmp_path / "f"), take_out)
        assert first(verify_file(path)) == (Kind.MISSING, rows[12])
        some = write_selection(tmp_path / "g", action="dataset:")
        assert verify_file(some).filters == {"action": "dataset:"}
        assert verify_file(some).is_intact

    def test_whole_seals_without_their_rows_are_reported(self, tmp_path: Path) -> None:
        rows = write(25)
        seal(max_rows=10)

        def take_out(found: list[str]) -> None:
            kept = [x for x in found if x.startswith(('{"format', '{"seal', '{"end'))]
            found[:] = [x.replace('"rows": 25', '"rows": 0') for x in kept]

        path = edit(write_selection(tmp_path / "f"), take_out)
        assert first(verify_file(path)) == (Kind.MISSING, rows[0])

    @pytest.mark.parametrize("kind", ["seals", "selection"])
    def test_truncated_file_is_reported(self, tmp_path: Path, kind: str) -> None:
        write(5)
        seal(max_rows=2)
        path = tmp_path / "f"
        write_seals(path, 1, 3) if kind == "seals" else write_selection(path)
        whole = path.read_text().rstrip("\n").split("\n")
        for length in range(len(whole)):
            path.write_text("\n".join(whole[:length]))
            assert not verify_file(path).is_intact, length

    def test_proof_of_another_row_is_refused(self, tmp_path: Path) -> None:
        rows = write(5)
        seal()
        path = write_selection(tmp_path / "f")

        def forge(found: list[str]) -> None:
            at = next(i for i, x in enumerate(found) if x.startswith(f'{{"id": {rows[2]},'))
            found[at] = found[at].replace(f'"id": {rows[2]}', '"id": 77')
            found[at + 1] = found[at + 1].replace(f'"row": {rows[2]}', '"row": 77')

        assert first(verify_file(edit(path, forge))) == (Kind.INSERTED, 77)

    @pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\x00" * 100, b"\x1f\x8bxx", b"[" * 9])
    def test_file_that_is_not_an_export_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "f"
        path.write_bytes(content)
        assert not verify_file(path).is_intact
