"""A server generated from the API's description."""

import json

import httpx
import pytest

from tests.client.fake import Broken
from tests.openapi_checks import SAMPLE_UUID as U
from tests.openapi_checks import Description, Operation

__all__ = ["DeclaredServer", "U"]


class DeclaredServer(httpx.BaseTransport):
    """A server that fails the test on undeclared requests and sends the declared responses."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.called: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        body = b"".join(request.stream)
        operation = self.description.operation(request.method, request.url.path)
        if operation is None:
            pytest.fail(f"the API has no {request.method} {request.url.path}")
        self.called.add(str(operation))
        self.check(operation, request, body)
        response = self.answer(operation)
        content = None if isinstance(response.stream, Broken) else response.content
        self.description.check(
            request.method, request.url.path, response.status_code, response.headers, content
        )
        return response

    def check(self, operation: Operation, request: httpx.Request, body: bytes) -> None:
        """Fail the test if a parameter or the body is not declared."""
        parameters = operation.declared.get("parameters", [])
        known = {item["name"] for item in parameters if item["in"] == "query"}
        assert set(request.url.params) <= known, f"{operation} has no {request.url.params}"
        content = operation.declared.get("requestBody", {}).get("content", {})
        if "application/json" in content and body:
            schema = content["application/json"]["schema"]
            faults = self.description.faults_of(schema, json.loads(body))
            assert not faults, f"{operation}: {faults}"

    def answer(self, operation: Operation) -> httpx.Response:
        """Return a successful response of the declared form."""
        status, declared = next(
            (int(code), item)
            for code, item in operation.declared["responses"].items()
            if code[0] == "2"
        )
        headers = self.description.sample_headers(operation, status)
        content = declared.get("content", {})
        if "text/event-stream" in content:
            headers["Content-Type"] = "text/event-stream"
            return httpx.Response(200, headers=headers, stream=Broken(b"event: end\ndata: {}\n\n"))
        schema = content.get("application/json", {}).get("schema")
        if schema is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(self.description.sample(schema))
            return httpx.Response(status, headers=headers, content=data)
        if content and operation.method != "HEAD":
            headers["Content-Type"] = next(iter(content))
        return httpx.Response(status, headers=headers, content=b"")
