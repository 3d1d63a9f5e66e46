"""Tests that every number in a request or spec has bounds, so that typos are rejected."""

import importlib
import math
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import aiplatform.protocol
from aiplatform.protocol.specs import TaskSpec
from aiplatform.protocol.strict import Strict
from aiplatform.protocol.trainings import SftSpec
from tests.runtime.conftest import training_spec

LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
NESTED = ("items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf")

MEASURED = {"post /api/v1/tasks/{task}/metrics: points.value"}
"""Fields without bounds: a program may measure any number, even NaN."""

SPECS: TypeAdapter[Any] = TypeAdapter(TaskSpec)


def unbounded(schema: Any, place: str, known: dict[str, Any]) -> Iterator[str]:
    """Yield the path of each number that lacks a lower or an upper bound.

    Args:
        schema: a JSON schema, or a list of them.
        place: path to the schema, for the messages.
        known: schemas by the names used in references; each is checked once, then removed.
    """
    if isinstance(schema, list):
        for part in schema:
            yield from unbounded(part, place, known)
        return
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from unbounded(known.pop(name, None), name, known)
        return
    chosen = "enum" in schema or "const" in schema
    if schema.get("type") in {"integer", "number"} and not chosen:
        bounded = any(b in schema for b in LOWER) and any(b in schema for b in UPPER)
        if not bounded:
            yield place
    for name, part in schema.get("properties", {}).items():
        yield from unbounded(part, f"{place}.{name}" if place[-1] != " " else place + name, known)
    for name in NESTED:
        yield from unbounded(schema.get(name), place, known)


def strict_models() -> list[type[BaseModel]]:
    """Return the protocol's models that refuse unknown fields: specs and their parts."""
    for module in pkgutil.iter_modules(aiplatform.protocol.__path__, "aiplatform.protocol."):
        importlib.import_module(module.name)
    found, waiting = set(), [Strict]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model not in found:
                found.add(model)
                waiting.append(model)
    return sorted((m for m in found if m.__module__.startswith("aiplatform.protocol.")), key=str)


@pytest.mark.parametrize("model", strict_models(), ids=lambda model: model.__name__)
def test_spec_numbers_have_bounds(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert list(unbounded(schema, model.__name__, schema.get("$defs", {}))) == []


def test_request_numbers_have_bounds() -> None:
    from aiplatform.server.app import create_app

    described = create_app().openapi()
    known = dict(described["components"]["schemas"])
    found, numbers = [], 0
    for path, item in described["paths"].items():
        for method, operation in item.items():
            place = f"{method} {path}: "
            for parameter in operation.get("parameters", ()):
                numbers += 1
                found += unbounded(parameter["schema"], place + parameter["name"], known)
            for body in operation.get("requestBody", {}).get("content", {}).values():
                numbers += 1
                found += unbounded(body.get("schema"), place, known)
    assert numbers > 500, "the description holds fewer parameters and bodies than it should"
    assert set(found) == MEASURED


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", [n for n, f in SftSpec.model_fields.items() if f.annotation is float]
)
def test_spec_with_nan_or_infinity_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        SPECS.validate_python(training_spec(**{name: value}))


def test_spec_with_huge_number_is_refused_and_error_names_the_bound() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 10000000"):
        SPECS.validate_python(training_spec(max_steps=99999999999999999999999))
