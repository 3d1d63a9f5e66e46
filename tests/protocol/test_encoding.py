"""What is stored as JSON comes back as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.protocol.encoding import dumps, loads

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates have no UTF-8; PostgreSQL refuses them, and NUL.
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc语"), inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_come_back(value: object) -> None:
    written = dumps(value)
    assert loads(written) == loads(written.encode()) == value == json.loads(written)


def test_what_is_nested_deeper_than_the_fast_parser_goes_comes_back() -> None:
    written = "[" * 500 + "]" * 500
    assert loads(written) == json.loads(written)


@pytest.mark.parametrize("text", ["", "{", "[1,]", '{"a": 1} 2', "nul"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="column"):
        loads(text)
