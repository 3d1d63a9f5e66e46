"""A server made of the API's own description."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.client.fake import Broken

U = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
"""What each uuid is."""


class Declared(httpx.BaseTransport):
    """A server that refuses what the API does not declare, and answers what it does."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.called: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        body = b"".join(request.stream)
        template, operation = self.operation(request.method, request.url.path)
        self.called.add(f"{request.method} {template}")
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
        assert set(request.url.params) <= declared, f"{template} has no {request.url.params}"
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content and body:
            self.check(content["application/json"]["schema"], json.loads(body), template)
        status, answer = next(
            (int(code), item) for code, item in operation["responses"].items() if code[0] == "2"
        )
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        headers = {"ETag": '"1"'}
        if "text/event-stream" in answer.get("content", {}):
            return httpx.Response(200, stream=Broken(b"event: end\ndata: {}\n\n"))
        if schema is None:
            return httpx.Response(status, content=b"", headers=headers)
        return httpx.Response(status, json=self.sample(schema), headers=headers)

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        # A path without parameters goes before one with: users/me before users/{user}.
        for template in sorted(self.document["paths"], key=lambda item: item.count("{")):
            pattern = re.sub(
                r"\\\{[^}]+\\\}", "[^/]+", re.escape(re.sub(r":path\}", "}", template))
            )
            pattern = pattern.replace("/files/[^/]+", "/files/.+")
            if re.fullmatch(pattern, path) and method.lower() in self.document["paths"][template]:
                return template, self.document["paths"][template][method.lower()]
        pytest.fail(f"the API has no {method} {path}")

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def check(self, schema: dict[str, Any], value: Any, where: str) -> None:
        """Names of members, which is where client and server drift apart."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            schema = self.resolve(next(s for s in schema["anyOf"] if s.get("type") != "null"))
        if "discriminator" in schema:
            discriminator = schema["discriminator"]
            chosen = discriminator["mapping"][value[discriminator["propertyName"]]]
            schema = self.resolve({"$ref": chosen})
        if "properties" not in schema or not isinstance(value, dict):
            return
        assert set(value) <= set(schema["properties"]), f"{where}: {value}"
        assert set(schema.get("required", ())) <= set(value), f"{where}: {value}"
        for name, member in value.items():
            if member is not None:
                self.check(schema["properties"][name], member, f"{where}.{name}")

    def sample(self, schema: dict[str, Any]) -> Any:
        """The example of a schema, or the least that it allows."""
        schema = self.resolve(schema)
        if schema.get("examples"):
            return schema["examples"][0]
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self.sample(schema[choice][0])
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object" if "properties" in schema:
                made = {name: self.sample(item) for name, item in schema["properties"].items()}
                return {**made, "next_cursor": None} if "next_cursor" in made else made
            case "object":
                return {}
            case "array" if "prefixItems" in schema:
                return [self.sample(item) for item in schema["prefixItems"]]
            case "array":
                return [self.sample(schema["items"])] if schema.get("items") else []
            case "string":
                formats = {"uuid": U, "date-time": "2026-11-24T08:00:00Z"}
                return formats.get(schema.get("format", ""), "text")
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        return None
