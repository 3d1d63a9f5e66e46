"""Tests that responses are checked against the OpenAPI document, and that all tests do so."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Response
from pydantic import BaseModel

from aiplatform.server.core.description import DescribedApp, sends_headers
from tests.client.fake import FakeServer, answer, malformed
from tests.openapi_checks import (
    DIFFERENCES,
    AnswerDiffers,
    CheckedClient,
    Description,
    Partial,
    platform,
)

TESTS = Path(__file__).parent
OTHER_TEST_CLIENTS = {
    "openapi_checks.py": "CheckedClient is a subclass of it",
    "server/core/test_database.py": "an application of three routes that fail",
    "server/core/test_description.py": "applications of a few routes, to route requests",
    "server/core/test_problems.py": "an application whose routes fail in each way",
    "server/ui/test_pages.py": "the files of the web interface, which the API does not describe",
}
"""Test modules that use Starlette's client because they don't test the platform's API."""

OPTIONAL = {
    "ChatCompletion": "the model's server writes it",
    "ComparedData": "it has the counts of its role only",
    "ErrorBody": "the model's server may write it",
    "QualityReport": "a report is sent as it was stored, without the parts that it lacks",
    "ReportFinding": "a report is sent as it was stored, without the parts that it lacks",
    "SummaryOut": "the route leaves out what a series has not",
}
"""Schemas that only responses use and that have optional fields, each with the reason."""


class Thing(BaseModel):
    """A response of the test application."""

    name: str
    size: int | None = None


ANSWERS = {
    "right": Response('{"name": "a", "size": 1}', 200, {"ETag": '"1"'}, "application/json"),
    "status": Response('{"name": "a", "size": 1}', 202, {"ETag": '"1"'}, "application/json"),
    "header": Response('{"name": "a", "size": 1}', 200, {}, "application/json"),
    "value": Response('{"name": "a", "size": 1}', 200, {"ETag": "1"}, "application/json"),
    "stray": Response(
        '{"name": "a", "size": 1}', 200, {"ETag": '"1"', "X-New": "1"}, "application/json"
    ),
    "missing": Response('{"name": "a"}', 200, {"ETag": '"1"'}, "application/json"),
    "unknown": Response(
        '{"name": "a", "size": 1, "colour": "blue"}', 200, {"ETag": '"1"'}, "application/json"
    ),
    "type": Response('{"name": "a", "size": "1"}', 200, {"ETag": '"1"'}, "application/json"),
    "broken": Response('{"name": ', 200, {"ETag": '"1"'}, "application/json"),
    "media": Response("a,1", 200, {"ETag": '"1"'}, "text/csv"),
}


@pytest.fixture
def client() -> CheckedClient:
    router = APIRouter()

    @router.get("/things/{kind}", response_model=Thing)
    @sends_headers("ETag")
    def thing(kind: str) -> Response:
        return ANSWERS[kind]

    @router.get("/secret", include_in_schema=False)
    def secret() -> None:
        """Return nothing; the route is not in the OpenAPI document."""

    app = DescribedApp(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_routes(router)
    return CheckedClient(app)


def test_answer_that_matches_document_passes(client: CheckedClient) -> None:
    assert client.get("/things/right").json() == {"name": "a", "size": 1}


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/things/status", "declares no status 202"),
        ("/things/header", "the header etag is missing"),
        ("/things/value", "the header etag: "),
        ("/things/stray", "the header x-new is not declared"),
        ("/things/missing", '"size" is a required property'),
        ("/things/unknown", "'colour' was unexpected"),
        ("/things/type", "size: "),
        ("/things/broken", "the body is not JSON"),
        ("/things/media", "the media type 'text/csv' is not declared"),
        ("/secret", "the document has no such route"),
    ],
)
def test_answer_that_differs_from_document_raises(
    client: CheckedClient, path: str, fault: str
) -> None:
    with pytest.raises(AnswerDiffers, match=re.escape(fault)):
        client.get(path)


PROJECT = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
COUNTS: dict[str, Any] = {"accepted": 1, "dropped_bytes": 0, "taken": 1, "status": "running"}


@pytest.fixture
def ask() -> Callable[[httpx.Response], httpx.Response]:
    """Return a function that makes a fake server send the given response, and returns it."""

    def ask(given: httpx.Response) -> httpx.Response:
        server = FakeServer().on(f"POST tasks/{PROJECT}/metrics", given)
        with httpx.Client(transport=server) as http:
            return http.post(f"http://platform.test/api/v1/tasks/{PROJECT}/metrics")

    return ask


def test_fake_with_valid_answers_sends_them_completed(
    ask: Callable[[httpx.Response], httpx.Response],
) -> None:
    assert ask(answer(COUNTS)).json() == COUNTS
    assert set(ask(answer(Partial({"accepted": 1}))).json()) == set(COUNTS)
    assert ask(malformed("another service", answer([1]))).json() == [1]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {name: value for name, value in COUNTS.items() if name != "dropped_bytes"},
            '"dropped_bytes" is a required property',
        ),
        (COUNTS | {"colour": "blue"}, "'colour' was unexpected"),
        (Partial({"accepted": "many"}), "accepted: "),
    ],
)
def test_fake_with_invalid_answer_fails_the_test(
    ask: Callable[[httpx.Response], httpx.Response], given: Any, fault: str
) -> None:
    with pytest.raises(AnswerDiffers, match=re.escape(fault)):
        ask(answer(given))
    assert len(DIFFERENCES) == 1  # recorded even if a client swallows the error
    DIFFERENCES.clear()


def test_each_example_of_the_document_is_valid() -> None:
    description = platform()
    for name, schema in description.document["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            faults = description.faults_of({"$ref": f"#/components/schemas/{name}"}, example)
            assert not faults, f"{name}: {faults}"


def test_answer_schemas_have_only_required_fields() -> None:
    """If a field were optional, nobody would notice that a response lacks it."""
    description = platform()
    operations = [
        operation
        for methods in description.document["paths"].values()
        for operation in methods.values()
    ]
    asked = names_in(description, [{**item, "responses": {}} for item in operations])
    answered = names_in(description, [item["responses"] for item in operations])
    optional = {
        name: set(schema["properties"]) - set(schema.get("required", ()))
        for name in answered - asked - set(OPTIONAL)
        if "properties" in (schema := description.document["components"]["schemas"][name])
    }
    assert len(optional) > 150
    assert {name: fields for name, fields in optional.items() if fields} == {}


def names_in(description: Description, part: Any) -> set[str]:
    """Return the names of the schemas that a part of the document uses, even indirectly."""
    found: set[str] = set()
    waiting = [str(part)]
    while waiting:
        for name in re.findall("#/components/schemas/([^'\"]+)", waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(str(description.document["components"]["schemas"][name]))
    return found


def test_tests_use_no_other_test_client() -> None:
    using = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if re.search(
            r"^ *from (starlette|fastapi)\.testclient import", path.read_text(), re.MULTILINE
        )
    }
    assert using == set(OTHER_TEST_CLIENTS)
