"""Tests of hash trees, hash chains and export lines against a second implementation."""

import random
from hashlib import sha256

import pytest

from aiplatform.server.audit.rules import lines
from aiplatform.server.audit.rules.chain import (
    GENESIS,
    Head,
    Seal,
    numbers_in,
    parse_ranges,
    ranges_text,
    size_of,
    to_ranges,
)
from aiplatform.server.audit.rules.filters import (
    csv_cell,
    next_window,
    prefer_index,
    prefix_query,
    words_of,
)
from aiplatform.server.audit.rules.merkle import Tree, leaf_hash, root_by, root_of
from aiplatform.server.audit.rules.signatures import (
    InvalidKeyError,
    is_signed,
    key_id,
    make_key,
    read_private,
    read_public,
    sign,
)


def by_definition(contents: list[bytes]) -> bytes:
    """Return the root hash of a tree as defined in RFC 6962, section 2.1."""
    if not contents:
        return sha256(b"").digest()
    if len(contents) == 1:
        return sha256(b"\x00" + contents[0]).digest()
    split = 1
    while split * 2 < len(contents):
        split *= 2
    left, right = by_definition(contents[:split]), by_definition(contents[split:])
    return sha256(b"\x01" + left + right).digest()


class TestTrees:
    @pytest.mark.parametrize("size", [*range(18), 31, 32, 33, 100, 255, 256, 257])
    def test_root_matches_the_definition(self, size: int) -> None:
        contents = [bytes([number % 256]) * (number % 7) for number in range(size)]
        assert root_of([leaf_hash(content) for content in contents]) == by_definition(contents)

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 100])
    def test_path_leads_only_to_the_root(self, size: int) -> None:
        leaves = [leaf_hash(str(number).encode()) for number in range(size)]
        tree = Tree(leaves)
        for index, leaf in enumerate(leaves):
            path = tree.path(index)
            assert root_by(leaf, index, size, path) == tree.root
            assert root_by(leaf_hash(b"other"), index, size, path) != tree.root
            assert root_by(leaf, index, size, [*path, GENESIS]) is None
            assert root_by(leaf, size, size, path) is None
            assert root_by(leaf, -1, size, path) is None
            if path:
                assert root_by(leaf, index, size, path[:-1]) is None
                if size > 1:
                    assert root_by(leaf, (index + 1) % size, size, path) != tree.root

    def test_hash_of_a_node_differs_from_that_of_a_leaf(self) -> None:
        one, two = leaf_hash(b"1"), leaf_hash(b"2")
        assert leaf_hash(one + two) != root_of([one, two])


class TestRanges:
    def test_ranges_survive_a_round_trip(self) -> None:
        generator = random.Random(7)
        for _ in range(200):
            numbers = sorted(generator.sample(range(-50, 150), generator.randint(0, 60)))
            found = list(to_ranges(numbers))
            assert list(numbers_in(found)) == numbers
            assert size_of(found) == len(numbers)
            assert parse_ranges(ranges_text(found)) == found

    @pytest.mark.parametrize("text", ["5..3", "1,2", "3,1", "1..4,4", "a", "1..", "..1", "1,,3"])
    def test_ranges_that_do_not_ascend_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".*"):
            parse_ranges(text)


class TestSeals:
    seal = Seal.create(
        3, "2026-11-24T08:00:00.000000Z", [(1, b"a" * 32), (5, b"b" * 32)], b"p" * 32
    )

    def test_intact_seal_has_no_fault(self) -> None:
        assert self.seal.fault() is None
        assert self.seal.size == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"id": 4},
            {"sealed_at": "2026-11-24T08:00:00.000001Z"},
            {"ranges": ((1, 1), (6, 6))},
            {"ranges": ((1, 2),)},
            {"leaves": (b"a" * 32, b"c" * 32)},
            {"leaves": (b"b" * 32, b"a" * 32)},
            {"leaves": (b"a" * 32,)},
            {"root": b"r" * 32},
            {"previous": b"q" * 32},
            {"head": b"h" * 32},
        ],
    )
    def test_changed_part_of_a_seal_is_a_fault(self, change: dict[str, object]) -> None:
        parts = {name: getattr(self.seal, name) for name in Seal.__slots__}
        assert Seal(**(parts | change)).fault() is not None

    def test_line_of_a_seal_survives_a_round_trip(self) -> None:
        for whole in (True, False):
            line = lines.seal_line(self.seal, [("k", b"s")], whole=whole)
            kind, said = lines.parse(line.encode())
            assert kind == "seal"
            found, signatures = lines.parse_seal(said)
            assert signatures == [("k", b"s")]
            assert found.leaves == (self.seal.leaves if whole else ())
            assert (found.head, found.ranges) == (self.seal.head, self.seal.ranges)

    @pytest.mark.parametrize(
        "line", [b"", b"{", b"[]", b"1", b'{"x": 1}', b'{"seal": 1}', b'{"id": "1", "action": 2}']
    )
    def test_invalid_line_is_refused(self, line: bytes) -> None:
        with pytest.raises(lines.InvalidLineError):
            lines.parse(line)

    @pytest.mark.parametrize("said", [{}, {"id": "x"}, {"leaves": "?"}, {"leaves": 5}])
    def test_invalid_seal_is_refused(self, said: dict[str, object]) -> None:
        with pytest.raises(lines.InvalidLineError):
            lines.parse_seal(said)

    def test_head_survives_a_round_trip_and_invalid_text_is_refused(self) -> None:
        head = Head(12, b"\xab" * 32)
        assert Head.parse(f" {head}\n") == head
        for text in ("", "12", "12:ab", "x:" + "ab" * 32, "0:" + "ab" * 32, "-1:" + "ab" * 32):
            with pytest.raises(ValueError, match=r".*"):
                Head.parse(text)


class TestSignatures:
    def test_signature_is_valid_for_one_key_and_one_head(self) -> None:
        (private, public), (_, other) = make_key(), make_key()
        signature = sign(read_private(private), b"h" * 32)
        key = read_public(public)
        assert is_signed(key, b"h" * 32, signature)
        assert not is_signed(key, b"i" * 32, signature)
        assert not is_signed(key, b"h" * 32, signature[:-1])
        assert not is_signed(read_public(other), b"h" * 32, signature)
        assert key_id(key) == key_id(read_private(private).public_key())

    def test_file_without_a_suitable_key_is_refused(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        private, public = make_key()
        other = X25519PrivateKey.generate()
        wrong = other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for pem in (b"", b"x", public, wrong):
            with pytest.raises(InvalidKeyError):
                read_private(pem)
        for pem in (b"", b"x", private):
            with pytest.raises(InvalidKeyError):
                read_public(pem)


def test_csv_cell_defuses_formulas() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(1)", "\t1", "\r1", "\n1"):
        assert csv_cell(text) == f"'{text}"
    assert [csv_cell(value) for value in ("a=1", None, 5, "数据")] == ["a=1", "", "5", "数据"]


def test_words_are_separated_by_spaces() -> None:
    assert words_of(" a  b'c\0d ") == ["a", "b'c", "d"]
    assert words_of(" \0 ") == []


@pytest.mark.parametrize(
    ("word", "query", "expected"),
    [
        ("ZORK", "'zork'", "('zork':*)"),
        ("run-7", "'run' <-> '-7'", "('run' <-> '-7':*)"),
        ("run-se", "'run-se' <-> 'run' <-> 'se'", "('run-se':* <-> 'run' <-> 'se':*)"),
        ("run-run", "'run-run' <-> 'run' <-> 'run'", "('run-run':* <-> 'run':* <-> 'run':*)"),
        ("b'c", "'b' <-> 'c'", "('b' <-> 'c':*)"),
        ("it''s.", "'it''s'", "('it''s':*)"),
        ("x\\\\y", "'x\\\\y'", "('x\\\\y':*)"),
    ],
)
def test_end_of_a_word_becomes_a_prefix(word: str, query: str, expected: str) -> None:
    assert prefix_query(word, query) == expected


def test_next_window_depends_on_the_matches_so_far() -> None:
    assert next_window(40_000, 50, 51, 1e7) == 80_000
    assert next_window(40_000, 20, 51, 1e7) == 200_000
    assert next_window(40_000, 16, 51, 1e7) is None
    assert next_window(40_000, 0, 51, 1e7) is None


def test_rows_are_fetched_for_rare_words_only() -> None:
    assert prefer_index(1e7, 1, 50)
    assert prefer_index(1e7, 20_000, 50)
    assert not prefer_index(1e7, 1e6, 50)
    assert not prefer_index(1e7, 1e7, 50)
    assert prefer_index(100, 100, 50)
