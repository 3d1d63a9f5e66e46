"""Tests of the files and headers of the web interface, and of a server without these files."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from aiplatform.server.ui.pages import WebInterface
from tests.conftest import environment

HTML = {"Accept": "text/html,application/xhtml+xml"}
SCRIPT = "console.log('page');" * 200


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a directory with the files of a built web interface."""
    directory = tmp_path_factory.mktemp("static")
    (directory / "assets").mkdir()
    (directory / "assets" / "main-1a2b3c4d.js").write_text(SCRIPT)
    (directory / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (directory / "index.html").write_text(
        "<!doctype html><meta name='csp-nonce' content='__CSP_NONCE__'><div id='root'></div>"
    )
    return directory


@pytest.fixture(scope="module")
def page(app: FastAPI, built: Path) -> Iterator[TestClient]:
    """Return a client for an application that serves a built web interface."""
    with TestClient(
        _with_page(app, built), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 50000)
    ) as client:
        yield client


def _with_page(app: FastAPI, directory: Path) -> FastAPI:
    from aiplatform.server.app import create_app

    with environment(AIPLATFORM_RATE_LIMIT_ANONYMOUS="5/minute"):
        made = create_app()
    for middleware in made.user_middleware:
        if middleware.cls is WebInterface:
            middleware.kwargs["directory"] = directory
    return made


class TestFiles:
    def test_hashed_file_is_immutable_and_compressed(self, page: TestClient) -> None:
        with page.stream(
            "GET", "/assets/main-1a2b3c4d.js", headers={"Accept-Encoding": "gzip"}
        ) as answer:
            raw = b"".join(answer.iter_raw())
        assert gzip.decompress(raw).decode() == SCRIPT
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"
        plain = page.get("/assets/main-1a2b3c4d.js", headers={"Accept-Encoding": "identity"})
        assert plain.text == SCRIPT
        assert "content-encoding" not in plain.headers

    def test_other_file_is_kept_for_an_hour(self, page: TestClient) -> None:
        answer = page.get("/favicon.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["cache-control"] == "public, max-age=3600"

    @pytest.mark.parametrize(
        "path",
        ["/assets/other-0.js", "/assets/../index.html", "/assets/%2e%2e/%2e%2e/app.py", "/app.py"],
    )
    def test_other_paths_lead_to_no_file(self, page: TestClient, path: str) -> None:
        answer = page.get(path, headers={"Accept": "*/*"})
        assert answer.status_code == 404
        assert answer.json()["code"] == "request.no_route"

    def test_page_is_outside_the_limit_of_anonymous_requests(self, page: TestClient) -> None:
        answers = [page.get("/assets/main-1a2b3c4d.js").status_code for _ in range(20)]
        assert set(answers) == {200}
        assert page.get("/", headers=HTML).status_code == 200


class TestIndex:
    @pytest.mark.parametrize(
        "path", ["/", "/p/support/datasets/chats", "/signed-in?code=x&state=y"]
    )
    def test_addresses_of_views_open_the_page(self, page: TestClient, path: str) -> None:
        answer = page.get(path, headers=HTML)
        assert answer.status_code == 200
        assert "<div id='root'>" in answer.text
        assert answer.headers["cache-control"] == "no-store"

    def test_policy_has_a_fresh_nonce_and_no_exceptions(self, page: TestClient) -> None:
        nonces = set()
        for _ in range(2):
            answer = page.get("/", headers=HTML)
            policy = answer.headers["content-security-policy"]
            nonce = re.search(r"style-src 'self' 'nonce-([\w-]{24})'", policy)
            assert nonce is not None
            assert f"content='{nonce[1]}'" in answer.text
            nonces.add(nonce[1])
            assert "default-src 'none'; script-src 'self';" in policy
            assert "frame-ancestors 'none'; base-uri 'none'; form-action 'self'" in policy
            assert "unsafe" not in policy
            assert "sandbox" not in policy
        assert len(nonces) == 2
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"

    @pytest.mark.parametrize("path", ["/api", "/api/v1/nothing", "/v1/no", "/docs", "/metrics"])
    def test_addresses_of_the_api_stay_its_own(self, page: TestClient, path: str) -> None:
        answer = page.get(path, headers=HTML)
        assert "<div id='root'>" not in answer.text
        assert "sandbox" in answer.headers["content-security-policy"]

    def test_other_host_name_is_refused(self, page: TestClient) -> None:
        assert page.get("/", headers={**HTML, "Host": "evil.example"}).status_code == 421


def test_server_without_the_page_says_how_to_get_it(app: FastAPI, tmp_path: Path) -> None:
    client = TestClient(WebInterface(app, tmp_path), base_url="http://127.0.0.1:8400")
    answer = client.get("/", headers=HTML)
    assert answer.status_code == 200
    assert "make setup" in answer.text
    assert "网页界面" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
