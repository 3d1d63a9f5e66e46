"""Tests of parts: small changes need little storage, and files are restored byte for byte."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.data import parts
from aiplatform.data.blobs import BlobDamagedError, BlobNotFoundError
from aiplatform.data.canonical import CanonicalWriter, row_group_starts
from aiplatform.data.parts import (
    Packed,
    Part,
    PartsFile,
    line_ends,
    pack,
    read_parts,
    row_group_ends,
)

Blobs = dict[str, bytes]
SCHEMA = pa.schema(
    [("id", pa.int64()), ("text", pa.string())],
    metadata={"aiplatform.shape": "text", "aiplatform.format": "jsonl"},
)


@pytest.fixture
def blobs() -> Blobs:
    return {}


@pytest.fixture
def store(tmp_path: Path, blobs: Blobs) -> Callable[..., tuple[Packed, int]]:
    """Return a function that packs a file, given the parts of a known file.

    It returns the packed file and the number of new bytes stored, and checks that the file can be
    restored.
    """
    count = iter(range(1000))

    def store(path: Path, ends: list[int], known: tuple[Part, ...] = ()) -> tuple[Packed, int]:
        def read(sha256: str) -> bytes:
            if sha256 not in blobs:
                raise BlobNotFoundError(sha256)
            return blobs[sha256]

        packed = pack(path, ends, tmp_path / f"pack{next(count)}", known=known, read=read)
        for new, sha256, size in packed.new:
            blobs[sha256] = new.read_bytes()
            assert len(blobs[sha256]) == size
            assert hashlib.sha256(blobs[sha256]).hexdigest() == sha256
        content = path.read_bytes()
        assert packed.sha256 == hashlib.sha256(content).hexdigest()
        assert b"".join(read_parts(packed.parts, blobs.__getitem__)) == content
        return packed, sum(size for *_, size in packed.new)

    return store


Store = Callable[..., tuple[Packed, int]]


def texts(count: int, seed: int = 1) -> list[dict[str, object]]:
    rng = random.Random(seed)
    words = [
        "".join(rng.choices("abcdefghijklmnop的一是", k=rng.randint(2, 9))) for _ in range(4000)
    ]
    return [{"id": n, "text": " ".join(rng.choices(words, k=30))} for n in range(count)]


WORDS = ["".join(random.Random(n).choices("abcdefghijklmnop", k=2 + n % 8)) for n in range(4000)]


def write(path: Path, rows: list[dict[str, object]], schema: pa.Schema = SCHEMA) -> list[int]:
    with CanonicalWriter(path, schema) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema))
    return row_group_ends(row_group_starts(path), path.stat().st_size)


class TestRows:
    def test_scattered_changes_store_little(self, store: Store, tmp_path: Path) -> None:
        rows = texts(60_000)
        first, whole = store(tmp_path / "a", write(tmp_path / "a", rows))
        rng = random.Random(2)
        for at in rng.sample(range(len(rows)), len(rows) // 100):
            rows[at] = {**rows[at], "text": f"changed {at} " + str(rng.random())}
        second, more = store(tmp_path / "b", write(tmp_path / "b", rows), tuple(first.parts))
        assert more < 0.05 * whole
        assert max(len(part.blobs) for part in second.parts) == 2

    @pytest.mark.parametrize("at", [0, 30_000, 60_000])
    def test_inserted_rows_store_at_most_two_parts(
        self, store: Store, tmp_path: Path, at: int
    ) -> None:
        rows = texts(60_000)
        first, _ = store(tmp_path / "a", write(tmp_path / "a", rows))
        assert len(first.parts) > 4
        # The other rows keep their ids, so they do not change.
        rows[at:at] = [{"id": -1, "text": "put in"}] * 50
        second, _ = store(tmp_path / "b", write(tmp_path / "b", rows), tuple(first.parts))
        known = {part.content for part in first.parts}
        new = [part for part in second.parts if part.content not in known]
        assert len(new) <= 2

    def test_scattered_deletions_store_little(self, store: Store, tmp_path: Path) -> None:
        rows = texts(60_000)
        first, whole = store(tmp_path / "a", write(tmp_path / "a", rows))
        rng = random.Random(3)
        kept = [row for row in rows if rng.random() > 0.01]
        _, more = store(tmp_path / "b", write(tmp_path / "b", kept), tuple(first.parts))
        assert more < 0.06 * whole

    def test_mixed_changes_in_many_columns_store_little(self, store: Store, tmp_path: Path) -> None:
        """Change rows as in tables of measurements, where each change affects every column."""
        rng = random.Random(4)

        def row(number: int) -> dict[str, object]:
            words = " ".join(rng.choices(WORDS, k=rng.randint(6, 30)))
            return {
                "id": number, "text": words, "score": f"{rng.random():.4f}",
                "label": rng.choice(["pos", "neg"]), "count": rng.randint(0, 10_000),
            }  # fmt: skip

        rows = [row(number) for number in range(40_000)]
        later = []
        for old in rows:
            chance = rng.random()
            if chance < 0.005:
                continue
            later.append(row(int(str(old["id"]))) if chance < 0.015 else old)
            if rng.random() < 0.005:
                later.append(row(100_000 + len(later)))
        schema = pa.schema(
            [("id", pa.int64()), ("text", pa.string()), ("score", pa.string()),
             ("label", pa.string()), ("count", pa.int64())],
            metadata=SCHEMA.metadata,
        )  # fmt: skip
        first, whole = store(tmp_path / "a", write(tmp_path / "a", rows, schema))
        _, more = store(tmp_path / "b", write(tmp_path / "b", later, schema), tuple(first.parts))
        assert more < 0.05 * whole

    def test_unrelated_file_is_stored_without_differences(
        self, store: Store, tmp_path: Path
    ) -> None:
        first, _ = store(tmp_path / "a", write(tmp_path / "a", texts(20_000)))
        ends = write(tmp_path / "b", texts(20_000, seed=9))
        second, _ = store(tmp_path / "b", ends, tuple(first.parts))
        assert all(len(part.blobs) == 1 for part in second.parts)

    def test_row_group_longer_than_a_part_is_restored(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check a single row that is longer than the largest part."""
        path = tmp_path / "rows"
        rows: list[dict[str, object]] = [{"id": 1, "text": "long" * 100_000}, *texts(100)]
        whole = write(path, rows)
        monkeypatch.setattr(parts, "MAX_UNPACKED_PART", 150_000)
        ends = row_group_ends(row_group_starts(path), path.stat().st_size)
        assert set(whole) < set(ends)
        packed, _ = store(path, ends)
        assert max(part.size for part in packed.parts) == 150_000
        row = dict(rows[0], id=2)
        write(tmp_path / "more", [row, *rows])
        starts = row_group_starts(tmp_path / "more")
        again = row_group_ends(starts, (tmp_path / "more").stat().st_size)
        store(tmp_path / "more", again, tuple(packed.parts))

    def test_chain_length_is_limited(self, store: Store, tmp_path: Path) -> None:
        rows = texts(8000)
        known: tuple[Part, ...] = ()
        for number in range(12):
            rows[number * 7] = {"id": number, "text": f"change {number}"}
            packed, _ = store(tmp_path / "a", write(tmp_path / "a", rows), known)
            known = tuple(packed.parts)
            assert max(len(part.blobs) for part in known) <= parts.MAX_CHAIN
        assert max(len(part.blobs) for part in known) > 1

    def test_parts_with_deleted_blobs_are_not_used_as_base(
        self, store: Store, tmp_path: Path, blobs: Blobs
    ) -> None:
        rows = texts(8000)
        first, _ = store(tmp_path / "a", write(tmp_path / "a", rows))
        blobs.clear()
        rows[5] = {"id": 5, "text": "changed"}
        second, _ = store(tmp_path / "b", write(tmp_path / "b", rows), tuple(first.parts))
        changed = second.parts[0]
        assert changed.content != first.parts[0].content
        assert len(changed.blobs) == 1


class TestLines:
    def test_inserted_line_stores_at_most_two_parts(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parts, "SMALLEST_PART", 100_000)
        monkeypatch.setattr(parts, "LARGEST_PART", 400_000)
        lines = [f"{row}\n" for row in texts(20_000)]
        path = tmp_path / "lines"
        path.write_text("".join(lines))
        first, _ = store(path, list(line_ends(path)))
        path.write_text("".join([*lines[:50], "one more\n", *lines[50:]]))
        second, _ = store(path, list(line_ends(path)), tuple(first.parts))
        assert len(first.parts) > 8
        known = {part.content for part in first.parts}
        assert sum(part.content not in known for part in second.parts) <= 2

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(content=st.binary(min_size=1, max_size=3000), repeat=st.integers(1, 20))
    def test_any_bytes_are_restored(
        self,
        store: Store,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        content: bytes,
        repeat: int,
    ) -> None:
        monkeypatch.setattr(parts, "SMALLEST_PART", 500)
        monkeypatch.setattr(parts, "LARGEST_PART", 2000)
        path = tmp_path / "any"
        path.write_bytes(content * repeat)
        ends = list(line_ends(path))
        assert ends[-1] == path.stat().st_size
        packed, _ = store(path, ends)
        assert max(part.size for part in packed.parts) <= 2000


class TestReading:
    @pytest.fixture
    def packed(self, store: Store, tmp_path: Path) -> Packed:
        return store(tmp_path / "a", write(tmp_path / "a", texts(20_000)))[0]

    def test_read_parts_reads_only_the_parts_of_the_range(
        self, packed: Packed, blobs: Blobs, tmp_path: Path
    ) -> None:
        content = (tmp_path / "a").read_bytes()
        read: list[str] = []

        def reading(sha256: str) -> bytes:
            read.append(sha256)
            return blobs[sha256]

        inside = packed.parts[1].start + 10
        assert b"".join(read_parts(packed.parts, reading, inside, 50)) == content[inside:][:50]
        assert read == list(packed.parts[1].blobs)
        rng = random.Random(4)
        for _ in range(30):
            start, length = rng.randrange(packed.size + 5), rng.randrange(packed.size)
            found = b"".join(read_parts(packed.parts, blobs.__getitem__, start, length))
            assert found == content[start : start + length]

    def test_parts_file_can_seek_and_read(
        self, packed: Packed, blobs: Blobs, tmp_path: Path
    ) -> None:
        content = (tmp_path / "a").read_bytes()
        file = PartsFile(packed.parts, blobs.__getitem__, kept=1)
        assert file.seek(-4, 2) == len(content) - 4
        assert file.read() == b"PAR1"
        file.seek(packed.parts[0].size - 3)
        assert file.read(6) == content[packed.parts[0].size - 3 :][:6]
        assert pa.parquet.read_table(file).num_rows == 20_000

    def test_damaged_blob_is_refused(self, packed: Packed, blobs: Blobs) -> None:
        sha256 = packed.parts[0].blobs[0]
        good = blobs[sha256]
        blobs[sha256] = blobs[packed.parts[1].blobs[0]]
        with pytest.raises(BlobDamagedError):
            read_parts(packed.parts, blobs.__getitem__)
        blobs[sha256] = good[: len(good) // 2]
        with pytest.raises(BlobDamagedError):
            read_parts(packed.parts, blobs.__getitem__)
