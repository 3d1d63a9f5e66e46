"""Tests that errors explain every constraint of requests in words, not regular expressions."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from aiplatform.protocol.pattern_descriptions import PATTERN_DESCRIPTIONS
from aiplatform.protocol.validation_errors import describe, place_of

BAD_TEXTS = ("", "\n", " ", "no/such @thing", "Ä ä", "é\x00", "x" * 3000)
UNTOLD = ("should", "pattern", "Input", "valid dictionary", "instance of", "function-", "list[")


def routes(app: FastAPI) -> list[APIRoute]:
    found: list[APIRoute] = []

    def walk(items: Any) -> None:
        for item in items:
            if isinstance(item, APIRoute):
                found.append(item)
            else:
                walk(getattr(item, "routes", None) or ())

    walk(app.routes)
    return found


def dependants(dependant: Any) -> Iterator[Any]:
    """Yield a FastAPI dependant and all its dependencies."""
    yield dependant
    for inner in dependant.dependencies:
        yield from dependants(inner)


def patterns_of(node: Any) -> Iterator[str]:
    """Yield all regular expressions in a JSON document, except those for response headers."""
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for key, value in node.items():
            if key != "headers":
                yield from patterns_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns_of(value)


def violations(schema: Any, definitions: Any) -> Iterator[Any]:
    """Yield values that violate a schema's constraints, a few per constraint."""
    if "$ref" in schema:
        schema = definitions.get(schema["$ref"].rpartition("/")[2], {})
    for branch in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("oneOf", ())):
        yield from violations(branch, definitions)
    if "pattern" in schema:
        yield next(t for t in BAD_TEXTS[1:] if re.search(schema["pattern"], t) is None)
    if schema.get("minLength", 0) > 0:
        yield "a" * (schema["minLength"] - 1)
    if "maxLength" in schema and schema["maxLength"] < 200_000:
        yield "a" * (schema["maxLength"] + 1)
    for key, step in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1),
                      ("exclusiveMaximum", 0)):  # fmt: skip
        if key in schema:
            yield schema[key] + step
    if "enum" in schema or "const" in schema:
        yield "no such thing"
    if schema.get("format") in {"uuid", "date-time", "date"}:
        yield "no such thing"
    if schema.get("type") in {"integer", "number", "boolean"}:
        yield "no such thing"
    if schema.get("type") in {"object", "array"}:
        yield 5
    for value in () if "items" not in schema else violations(schema["items"], definitions):
        if "properties" not in schema["items"]:
            yield [value]
    for key, wrap in (
        ("additionalProperties", lambda value: {"key": value}),
        ("propertyNames", lambda value: {value: "x"}),
    ):
        inner = schema.get(key)
        for value in () if not isinstance(inner, dict) else violations(inner, definitions):
            if isinstance(value, str | int | float):
                yield wrap(value)


def check(fault: Any, place: str) -> None:
    """Assert that the text of a validation error explains it in words."""
    words = describe(fault)
    for text in words:
        assert text.strip(), fault
        assert not any(untold in text for untold in UNTOLD), (place, text)
        assert "^" not in text, (place, text)
        assert r"\x" not in text, (place, text)
    if fault["type"] not in {"value_error", "assertion_error"}:
        assert re.search("[\u4e00-\u9fff]", words.zh) or words.zh.isascii() is False, words
    assert not place.startswith(("query.", "path.", "header.", "body.")), place


def test_every_pattern_of_the_api_has_an_explanation(app: FastAPI) -> None:
    found = set(patterns_of(app.openapi()))
    assert found <= PATTERN_DESCRIPTIONS.keys(), (
        f"not in protocol/pattern_descriptions.py: {found - PATTERN_DESCRIPTIONS.keys()}"
    )
    for words in PATTERN_DESCRIPTIONS.values():
        assert words.en.isascii()
        assert not re.search(r"\[.-.|\\[wx]|\$$|\{\d", words.en), words


def test_every_constraint_of_a_parameter_is_explained_in_words(app: FastAPI) -> None:
    description = app.openapi()
    definitions = description["components"]["schemas"]
    provoked = 0
    for route in routes(app):
        fields = {
            (place, field.alias): field
            for dependant in dependants(route.dependant)
            for place, held in (
                ("query", dependant.query_params),
                ("path", dependant.path_params),
                ("header", dependant.header_params),
            )
            for field in held
        }
        for method in route.methods:
            operation = description["paths"].get(route.path_format, {}).get(method.lower(), {})
            for parameter in operation.get("parameters", ()):
                field = fields.get((parameter["in"], parameter["name"]))
                if field is None:
                    continue
                for value in violations(parameter["schema"], definitions):
                    _, errors = field.validate(value, {}, loc=(parameter["in"], field.alias))
                    for fault in errors or ():
                        place = place_of(fault)
                        assert place == parameter["name"]
                        check(fault, place)
                        provoked += 1
    assert provoked > 400


def models_of(kind: Any, found: dict[str, type[BaseModel]]) -> None:
    """Add a pydantic model and all models in its fields to a collection."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if f"{kind.__module__}.{kind.__qualname__}" in found:
            return
        found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        for field in kind.model_fields.values():
            models_of(field.annotation, found)
    for inner in get_args(kind):
        models_of(inner, found)


def test_every_constraint_of_a_body_is_explained_in_words(app: FastAPI) -> None:
    models: dict[str, type[BaseModel]] = {}
    for route in routes(app):
        for dependant in dependants(route.dependant):
            for field in dependant.body_params:
                models_of(field.field_info.annotation, models)
    provoked = 0
    for model in models.values():
        schema = model.model_json_schema()
        for name, held in schema.get("properties", {}).items():
            for value in violations(held, schema.get("$defs", {})):
                body = {name: value}
                try:
                    model.model_validate(body)
                except ValidationError as error:
                    for fault in error.errors(include_url=False):
                        fault["loc"] = ("body", *fault["loc"])
                        place = place_of(fault, body)
                        check(fault, place)
                        if fault["type"] != "value_error" and len(fault["loc"]) > 1:
                            assert place.partition(".")[0] == str(fault["loc"][1]), fault
                        provoked += 1
    assert provoked > 1000


@pytest.mark.parametrize(
    ("loc", "given", "kind", "place"),
    [
        (("query", "after"), None, "string_pattern_mismatch", "after"),
        (("body", "spec", "training", "lora", "rnk"), {"spec": {"lora": {"rnk": 1}}},
         "extra_forbidden", "spec.lora.rnk"),
        (("body", "spec", "evaluation", "model"), {"spec": {"type": "evaluation"}}, "missing",
         "spec.model"),
        (("body", "targets", "list[str]", 1), {"targets": ["a", 2]}, "string_type", "targets.1"),
        (("body", "map", "a[0]"), {"map": {"a[0]": 1}}, "literal_error", "map.a[0]"),
        (("body",), None, "missing", "the request's body"),
        (("body", 17), "{", "json_invalid", "the request's body"),
    ],
)  # fmt: skip
def test_place_of_names_the_field_as_sent(loc: Any, given: Any, kind: str, place: str) -> None:
    assert place_of({"loc": loc, "type": kind}, given) == place
