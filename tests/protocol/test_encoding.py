"""Tests of the JSON encoder and decoder."""

import json
import math
from collections import OrderedDict
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.protocol.encoding import dumps, jsonable, loads

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates can't be encoded in UTF-8, and PostgreSQL refuses both them and NUL.
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc语"), inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_survive_a_round_trip(value: object) -> None:
    written = dumps(value)
    assert loads(written) == loads(written.encode()) == value == json.loads(written)


def test_deeply_nested_json_is_decoded() -> None:
    written = "[" * 500 + "]" * 500
    assert loads(written) == json.loads(written)


@pytest.mark.parametrize("text", ["", "{", "[1,]", '{"a": 1} 2', "nul"])
def test_invalid_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="column"):
        loads(text)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Other(Enum):
    PAIR = (1, 2)


AWAY = UUID(int=7)
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, '"NaN"'),
        ([-math.inf, {"deep": math.inf}], '["-Infinity",{"deep":"Infinity"}]'),
        ("a\0b", '"a\ufffdb"'),
        ({"k\0": ["\0"]}, '{"k\ufffd":["\ufffd"]}'),
        (r"\u0000", r'"\\u0000"'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Other.PAIR, "[1,2]"),
        ({Colour.RED: Level.HIGH}, '{"red":3}'),
        ({1: "a", 2.5: "b", None: "d"}, '{"1":"a","2.5":"b","null":"d"}'),
        ({False: 1, True: 2}, '{"false":1,"true":2}'),
        ({AWAY: AWAY, AT: AT, (1, 2): 0}, None),
        ({math.nan: math.nan}, '{"nan":"NaN"}'),
        ((1, {2}, frozenset([3])), "[1,[2],[3]]"),
        (OrderedDict(a=AT), '{"a":"2026-01-02T00:00:00+00:00"}'),
        (PurePosixPath("a/b"), '"a/b"'),
        ([np.float64("nan"), np.float32(0.5), np.int64(4), np.bool_(True)], '["NaN",0.5,4,true]'),
        (1e300, "1e+300"),
        ("语\ud800", '"语\ud800"'),
    ],
)
def test_dumps_converts_special_values(value: object, written: str | None) -> None:
    assert dumps(value) == dumps(jsonable(value))
    if written is not None:
        assert dumps(value) == written


@pytest.mark.parametrize("value", [object(), [object()], {"a": {"b": b"bytes"}}])
def test_value_without_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        dumps(value)
