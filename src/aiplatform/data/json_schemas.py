"""JSON Schemas given by users. References to other documents are never followed."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Return a function that returns True if the schema accepts a decoded JSON document.

    Raises:
        ValueError: The schema is not a valid JSON Schema, or it refers to another document.
    """
    return _compile(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=16)
def _compile(text: str) -> Callable[[Any], bool]:
    try:
        # A schema could otherwise make the server send requests to internal addresses.
        validator = jsonschema_rs.validator_for(json.loads(text), offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return validator.is_valid
