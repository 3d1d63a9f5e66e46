"""Attack: user content that the server sends to other users: markup and log lines."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from sqlalchemy.orm import Session

from aiplatform.server.core.logging import configure_logging
from aiplatform.server.core.settings import get_settings
from tests.conftest import Api
from tests.factories import make_blob, make_model
from tests.matrix.world import World
from tests.openapi_checks import CheckedClient

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "javascript:alert(1)",
)


def assert_inert(answer: Any) -> None:
    """Check that a browser would not run any content of the response."""
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    kind = headers.get("content-type", "").partition(";")[0]
    plain = {"application/json", "application/problem+json", "text/event-stream"}
    assert kind in plain or headers.get("content-disposition", "").startswith("attachment"), kind


class TestMarkup:
    @pytest.mark.parametrize("markup", MARKUP)
    def test_markup_in_text_fields_stays_text(self, owner: Api, world: World, markup: str) -> None:
        project = world.params["project"]
        made = owner.post(
            "projects",
            json={"name": f"{markup} {world.mark}", "description": markup, "tags": [markup[:50]],
                  "config": {markup: markup}},
        )  # fmt: skip
        assert made.status_code == 201, made.text
        assert made.json()["description"] == markup
        uuid = made.json()["uuid"]
        for answer in (
            made,
            owner.get(f"projects/{uuid}"),
            owner.get("projects"),
            owner.get(f"projects/{uuid}/datasets", params={"cursor": markup}),
            owner.get(f"projects/{quote(markup)}"),
            owner.get(f"projects/{project}/tasks", params={"status": markup}),
            owner.post(f"projects/{project}/experiments", json={"name": markup}),
            owner.get(f"//{quote(markup)}"),
            owner.post("//v1/chat/completions", json={"model": markup, "messages": []}),
        ):
            assert_inert(answer)

    @pytest.mark.parametrize("name", ["evil.html", "evil.svg", "evil.xhtml", "README.md", "x.js"])
    def test_markup_in_model_files_is_sent_as_attachment(
        self, client: CheckedClient, session: Session, world: World, home: Any, name: str
    ) -> None:
        path = f"weights/{name}"
        file = make_blob(session, MARKUP[0].encode() + name.encode(), path, home)
        model = make_model(session, world.project, files=[file])
        answer = Api(client, world.tokens["owner"]).get(f"models/{model.uuid}/files/{path}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "text/html" not in answer.headers["content-type"]
        assert "svg" not in answer.headers["content-type"]
        assert_inert(answer)

    def test_markup_in_datasets_is_sent_as_attachment(self, owner: Api, world: World) -> None:
        made = owner.post(
            f"projects/{world.params['project']}/datasets",
            params={"name": "markup", "filename": '<b>".jsonl'},
            content=json.dumps({"text": MARKUP[0]}).encode() + b"\n",
        )
        assert made.status_code == 201, made.text
        for form in ("original", "jsonl", "parquet"):
            where = f"datasets/{made.json()['uuid']}/versions/v1/content"
            answer = owner.get(where, params={"format": form})
            assert_inert(answer)
            assert answer.headers["content-disposition"].startswith("attachment")


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Capture the server's log on stderr, once as JSON and once as plain text."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    wanted = {"log_json": request.param == "json", "log_level": "debug"}
    configure_logging(get_settings().model_copy(update=wanted))
    yield written
    structlog.configure(**before[0])
    root.handlers[:] = before[1]
    root.setLevel(before[2])


class TestLogs:
    def test_request_with_line_ends_forges_no_log_line(
        self, client: CheckedClient, log: io.StringIO
    ) -> None:
        """Check that line breaks in logged values are escaped in both log formats."""
        line = "2030-01-01 [info] request path=/forged status=200"
        for end in ("\n", "\r", "\r\n", "\x0b", "\x85", "\u2028"):
            forged = f"x{end}{line}"
            client.get(f"/api/v1/nowhere{quote(forged)}", headers={"User-Agent": "x"})
            client.request("FORGED", f"/{quote(forged)}", params={"q": forged})
            client.post("/api/v1/auth/token", data={"username": forged, "password": "wrong one"})
            client.get("/api/v1/health", headers={"X-Request-ID": quote(forged)})
        lines = log.getvalue().splitlines()
        assert sum("/forged" in written for written in lines) >= 12
        assert [written for written in lines if written.startswith("2030")] == []

    def test_request_id_with_unusual_characters_or_length_is_replaced(
        self, client: CheckedClient
    ) -> None:
        for hostile in ("a" * 65, "short", "é" * 10, "x" * 8 + "\t"):
            answer = client.get("/api/v1/health", headers={"X-Request-ID": hostile.encode()})
            assert answer.headers["x-request-id"] != hostile
