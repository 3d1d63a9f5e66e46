"""Request bodies generated from the OpenAPI document, with ids of existing objects."""

from collections.abc import Iterator
from itertools import product, zip_longest
from typing import Any

from fastapi import FastAPI

from tests.access_table import Access
from tests.factories import number

KINDS = {"base_model": "model", "eval_dataset": "dataset", "model": "model", "from_task": "run"}
MAX_BODIES = 12
MISSING = object()


def operation_of(app: FastAPI, access: Access) -> dict[str, Any]:
    """Return the route's operation in the OpenAPI document, or an empty dictionary."""
    paths: dict[str, Any] = app.openapi()["paths"]
    path = access.path.replace("{path:path}", "{path}")
    if path.startswith("/v1/models/"):
        path = path.replace("{deployment}", "{model}")
    found: dict[str, Any] = paths.get(path, {}).get(access.method.lower(), {})
    return found


def parameters_of(app: FastAPI, access: Access) -> list[str]:
    """Return the names of the route's query parameters."""
    described = operation_of(app, access).get("parameters", [])
    return [item["name"] for item in described if item["in"] == "query"]


def bodies_of(app: FastAPI, access: Access, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return bodies that the OpenAPI document allows, with the ids of objects in ``params``."""
    content = operation_of(app, access).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return []
    made = [body for body in _values(app, schema, "", params, 0) if isinstance(body, dict)]
    return made[:MAX_BODIES]


def _resolve(app: FastAPI, schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = app.openapi()["components"]["schemas"][name]
    return schema


def _values(
    app: FastAPI, schema: dict[str, Any], name: str, params: dict[str, str], depth: int
) -> Iterator[Any]:
    schema = _resolve(app, schema)
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices is not None:
        # Null is left out, because it refers to no object. The choices take turns, so that the
        # first few bodies contain one of each.
        values = [
            _values(app, choice, name, params, depth)
            for choice in choices
            if choice.get("type") != "null"
        ]
        for turn in zip_longest(*values, fillvalue=MISSING):
            yield from (value for value in turn if value is not MISSING)
        return
    if "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield from schema["enum"][:1]
    elif schema.get("type") == "object" or "properties" in schema:
        yield from _objects(app, schema, params, depth)
    elif schema.get("type") == "array":
        for item in _values(app, schema.get("items", {}), name.removesuffix("s"), params, depth):
            yield [item]
    else:
        yield _scalar(schema, name, params)


def _objects(
    app: FastAPI, schema: dict[str, Any], params: dict[str, str], depth: int
) -> Iterator[dict[str, Any]]:
    if depth > 4:
        return
    if schema.get("minProperties"):  # a map that must not be empty: the parameters of a sweep
        for inner in _values(app, schema["additionalProperties"], "seed", params, depth + 1):
            yield {"seed": inner}
        return
    fields: dict[str, list[Any]] = {}
    for name, inner in schema.get("properties", {}).items():
        if name in schema.get("required", []) or _refers(app, inner, name) or "const" in inner:
            fields[name] = list(_values(app, inner, name, params, depth + 1))
    for chosen in product(*fields.values()):
        yield dict(zip(fields, chosen, strict=True))


def _refers(app: FastAPI, schema: dict[str, Any], name: str, depth: int = 0) -> bool:
    """Return True if a value of this schema can contain the uuid of an object."""
    schema = _resolve(app, schema)
    choices = schema.get("oneOf") or schema.get("anyOf") or []
    if schema.get("format") == "uuid" or any(_refers(app, c, name, depth) for c in choices):
        return True
    inner = schema.get("properties", {})
    return depth < 3 and any(_refers(app, s, n, depth + 1) for n, s in inner.items())


def _scalar(schema: dict[str, Any], name: str, params: dict[str, str]) -> Any:
    match schema.get("type"):
        case "string" if schema.get("format") == "uuid":
            return params.get(KINDS.get(name, name), params["project"])
        case "string" if "default" in schema:
            return schema["default"]
        case "string" if name == "cron":
            return "30 2 * * *"
        case "string" if name == "package":
            return "a-package"
        case "string" if name == "repository":
            return "someone/something"
        case "string" if name == "url":
            return "https://rows.example.com/rows.jsonl"
        case "string" if name == "uri":
            return "s3://bucket/rows.jsonl"
        case "string":
            return f"name{number()}"
        case "integer" | "number":
            return schema.get("default", schema.get("minimum", 1))
        case "boolean":
            return False
    return {}
