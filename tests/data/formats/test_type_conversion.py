"""Tests of computing the decoded size of rows in any encoding."""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from aiplatform.data.formats import type_conversion
from aiplatform.data.formats.parquet import BrokenHeaderError, pages_of
from aiplatform.data.formats.type_conversion import batch_sizes

TEXTS = pa.array(["a" * 100, "", None, "a" * 100, "a" * 100, "bb"])
LENGTHS = [101, 1, 1, 101, 101, 3]


def sizes(array: pa.Array) -> list[int]:
    return batch_sizes(pa.record_batch([array], names=["c"])).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "array",
    [
        TEXTS,
        TEXTS.cast(pa.large_string()),
        TEXTS.cast(pa.binary()),
        TEXTS.cast(pa.string_view()),
        TEXTS.dictionary_encode(),
        pc.run_end_encode(TEXTS),
    ],
    ids=lambda array: str(array.type),
)
def test_batch_sizes_are_the_same_in_any_encoding(array: pa.Array) -> None:
    assert sizes(array) == LENGTHS
    assert sizes(array.slice(2, 3)) == LENGTHS[2:5]
    assert sizes(array.slice(0, 0)) == []


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([[1, 2], [], None]), [17, 1, 1]),
        (pa.array([[1, 2], [], None], pa.list_view(pa.int64())), [17, 1, 1]),
        (pa.array([["ab", "c"], ["d"]], pa.list_(pa.string())), [6, 3]),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), [17, 17]),
        (pa.array([{"a": "xx", "b": 1}]), [12]),
        (pa.array([True, None]), [4, 4]),
        (pa.nulls(2), [4, 4]),
    ],
)
def test_batch_sizes_include_nested_values(array: pa.Array, expected: list[int]) -> None:
    assert sizes(array) == expected
    assert sizes(array.slice(1)) == expected[1:]


def test_batch_sizes_of_unions_include_referenced_values() -> None:
    types, offsets = pa.array([0, 0, 1], pa.int8()), pa.array([0, 0, 0], pa.int32())
    union = pa.UnionArray.from_dense(types, offsets, [pa.array(["x" * 9]), pa.array([1])])
    assert sizes(union) == [11, 11, 9]


def test_batch_sizes_too_many_nested_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_conversion, "MAX_NESTED_VALUES", 10)
    with pytest.raises(ValueError, match="more than 10 nested values"):
        sizes(pa.array([list(range(11))]))


@pytest.mark.parametrize(
    "header",
    [b"", b"\x15", b"\x15\x04\x00", b"\x15\x04\x15\x03\x15\x02\x00", b"\x1c" * 40, b"\xff" * 40],
)
def test_pages_of_invalid_header_is_refused(header: bytes) -> None:
    with pytest.raises(BrokenHeaderError):
        list(pages_of(io.BytesIO(header), 0, 100))
