"""Tests of JSON text, which must preserve nested values exactly."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.data.json_text import NoJsonFormError, json_text, parse_json_text
from aiplatform.data.limits import MAX_DEPTH

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_json_text_round_trip_keeps_any_value(value: object) -> None:
    assert parse_json_text(json_text(value)) == value


def test_large_integers_stay_exact_beside_non_finite_numbers() -> None:
    value = {"n": 10**30, "x": [float("nan"), float("-inf"), None, 1.5]}
    assert parse_json_text(json_text(value)) == {"n": 10**30, "x": ["NaN", "-Infinity", None, 1.5]}
    assert json_text([math.inf]) == '["Infinity"]'
    json.loads(json_text(value), parse_constant=pytest.fail)


def test_parquet_scalars_become_text() -> None:
    value = [Decimal("1.50"), date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC), b"text"]
    assert json_text(value) == '["1.50","2026-01-02","2026-01-02T03:00:00+00:00","text"]'


@pytest.mark.parametrize("value", [b"\xff", [{"a": b"\xff"}], [10**30, b"\xff"]])
def test_binary_data_is_refused(value: object) -> None:
    with pytest.raises(NoJsonFormError) as caught:
        json_text(value)
    assert caught.value.reason == "binary_value"


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 50_000])
def test_value_nested_too_deeply_is_refused(levels: int) -> None:
    deep: list[object] = []
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(NoJsonFormError) as caught:
        json_text(deep)
    assert caught.value.reason == "json_too_deep"


def test_long_flat_list_is_accepted() -> None:
    value = [[] for _ in range(10 * MAX_DEPTH)]
    assert parse_json_text(json_text(value)) == value
