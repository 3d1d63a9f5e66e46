"""Tests that a column's kind holds all its values and does not depend on chunks."""

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.data.column_kinds import Kind, build, kind_of, unify


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], Kind.NULL),
        ([None, None], Kind.NULL),
        ([None, True], Kind.BOOL),
        ([1, None], Kind.INT),
        ([2**53], Kind.INT),
        ([2**53 + 1], Kind.WIDE_INT),
        ([-(2**63)], Kind.WIDE_INT),
        ([2**63], Kind.JSON),
        ([1.5], Kind.FLOAT),
        ([1, 1.5], Kind.FLOAT),
        ([2**53 + 1, 1.5], Kind.JSON),
        (["x", None], Kind.STRING),
        ([1, "x"], Kind.JSON),
        ([True, 1], Kind.JSON),
        ([[1]], Kind.JSON),
        ([{"a": 1}], Kind.JSON),
    ],
)
def test_kind_of_python_values_is_the_narrowest(values: list[Any], kind: Kind) -> None:
    assert kind_of(values) is kind


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.nulls(2, pa.string()), Kind.NULL),
        (pa.array(["x"]), Kind.STRING),
        (pa.array([1, None]), Kind.INT),
        (pa.array([2**60]), Kind.WIDE_INT),
        (pa.array([0.5]), Kind.FLOAT),
        (pa.array([True]), Kind.BOOL),
        (pa.array([[1]]), Kind.JSON),
    ],
)
def test_kind_of_arrow_arrays_is_the_narrowest(array: pa.Array, kind: Kind) -> None:
    assert kind_of(array) is kind


def test_unify_is_commutative_and_associative() -> None:
    for a, b in itertools.product(Kind, repeat=2):
        assert unify(a, b) is unify(b, a)
        assert unify(a, a) is a
    for a, b, c in itertools.product(Kind, repeat=3):
        assert unify(unify(a, b), c) is unify(a, unify(b, c))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 5),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.lists(st.integers(), max_size=2),
)


@given(st.lists(VALUES, max_size=12), st.data())
def test_kind_does_not_depend_on_chunks(values: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    parts = unify(kind_of(values[:cut]), kind_of(values[cut:]))
    assert parts is kind_of(values)
    if parts is not Kind.JSON:
        # Both parts keep their values when converted to the whole column's kind.
        for part in (values[:cut], values[cut:], values):
            assert build(part, parts).to_pylist() == part


def test_build_widens_arrays() -> None:
    assert build(pa.array([1, None]), Kind.FLOAT).to_pylist() == [1.0, None]
    assert build(pa.array([1, None]), Kind.JSON).to_pylist() == ["1", None]
    assert build(pa.nulls(2, pa.string()), Kind.INT).type == pa.int64()
    assert build(["x"], Kind.JSON).to_pylist() == ['"x"']


def test_labels_are_the_documented_ones() -> None:
    assert {kind.label for kind in Kind} == {
        "null", "boolean", "integer", "number", "date", "timestamp", "text", "json", "messages",
    }  # fmt: skip
