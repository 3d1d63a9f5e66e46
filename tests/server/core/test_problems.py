"""Tests of error responses: RFC 9457 documents in the client's language."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import text
from starlette.requests import Request
from starlette.testclient import TestClient

from aiplatform.server.core import problems
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NameTaken, NotFound, Unavailable
from aiplatform.server.core.problems import BadRequest, language_of
from tests.conftest import environment


class Body(BaseModel):
    name: str = Field(max_length=3)
    sizes: list[int] = []


@pytest.fixture(scope="module")
def faulty(database_url: str) -> Iterator[TestClient]:
    """Start an application with a route for each kind of failure."""
    app = FastAPI()
    problems.install(app)

    def statement(sql: str, **params: Any) -> None:
        with transaction() as session:
            session.execute(text(sql), params)

    @app.get("/not-found")
    def not_found() -> None:
        raise NotFound(resource="dataset version")

    @app.get("/taken")
    def taken() -> None:
        raise NameTaken(resource="project", name="a 'b'")

    @app.get("/hostile")
    def hostile() -> None:
        raise BadRequest(
            reason="{secret} %s", reason_zh="中文 {x}", type="t", title="t", status=200,
            value=float("nan"),
        )  # fmt: skip

    @app.get("/down")
    def down() -> None:
        raise Unavailable(service="The broker", service_zh="消息代理")

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("secret detail")

    @app.get("/nul")
    def nul() -> None:
        statement("SELECT CAST(:x AS text)", x="a\x00")

    @app.get("/range")
    def out_of_range() -> None:
        statement("SELECT CAST(:x AS integer)", x=2**40)

    @app.get("/unique")
    def unique() -> None:
        statement("INSERT INTO roles (name) VALUES ('admin')")

    @app.get("/foreign")
    def foreign() -> None:
        statement("INSERT INTO projects (name, owner_id) VALUES ('x', 999999)")

    @app.get("/syntax")
    def syntax() -> None:
        statement("SELECT secret FROM nowhere")

    @app.get("/no-database")
    def no_database() -> None:
        with environment(AIPLATFORM_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere"):
            statement("SELECT 1")

    @app.post("/body")
    def body(body: Body) -> None:
        """Require a body."""

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def get(client: TestClient, path: str, language: str = "en") -> Any:
    return client.get(path, headers={"Accept-Language": language})


class TestLanguage:
    @pytest.mark.parametrize(
        ("header", "language"),
        [
            ("", "en"),
            ("zh", "zh"),
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            ("ZH-Hant-TW", "zh"),
            ("en-GB,zh;q=0.9", "en"),
            ("en;q=0.5, zh;q=0.6", "zh"),
            ("fr, de;q=0.9", "en"),
            ("fr, zh;q=0.1", "zh"),
            ("zh;q=0", "en"),
            ("*", "en"),
            ("zhx", "en"),
            (";;q=,,q=..;zh;q=1.2.3", "en"),
            ("zh;q=" + "9" * 5000, "zh"),
        ],
    )
    def test_language_of_prefers_the_higher_weight(self, header: str, language: str) -> None:
        headers = [(b"accept-language", header.encode())]
        assert language_of(Request({"type": "http", "headers": headers})) == language


class TestDocuments:
    def test_document_has_the_members_of_rfc_9457(self, faulty: TestClient) -> None:
        answer = get(faulty, "/not-found")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-language"] == "en"
        assert answer.json() == {
            "type": "urn:aiplatform:problem:resource.not_found",
            "title": "Not found",
            "status": 404,
            "code": "resource.not_found",
            "detail": "There is no such dataset version, or you may not see it. "
            "Check its name or uuid.",
            "instance": "/not-found",
            "resource": "dataset version",
        }

    def test_document_in_chinese(self, faulty: TestClient) -> None:
        answer = get(faulty, "/not-found", "zh-CN")
        assert answer.headers["content-language"] == "zh"
        assert answer.json()["title"] == "未找到"
        assert answer.json()["detail"] == "数据集版本 不存在，或您无权查看。请检查名称或 uuid。"
        assert get(faulty, "/taken", "zh").json()["detail"].startswith("名为 \"a 'b'\" 的 项目")
        assert get(faulty, "/down", "zh").json()["detail"].startswith("消息代理")

    def test_code_is_the_same_in_both_languages(self, faulty: TestClient) -> None:
        for path in ("/not-found", "/taken", "/down", "/bug", "/unique", "/nowhere"):
            english, chinese = get(faulty, path).json(), get(faulty, path, "zh").json()
            assert english["code"] == chinese["code"]
            assert english["title"] != chinese["title"]
            assert english["detail"] != chinese["detail"]

    def test_parameters_do_not_replace_standard_members(self, faulty: TestClient) -> None:
        document = get(faulty, "/hostile").json()
        assert (document["status"], document["title"]) == (400, "Unreadable request")
        assert document["type"] == "urn:aiplatform:problem:request.unreadable"
        assert document["detail"] == "The request could not be read: {secret} %s"
        assert document["value"] == "NaN"
        assert "reason_zh" not in document
        assert get(faulty, "/hostile", "zh").json()["detail"] == "无法读取请求：中文 {x}"

    def test_headers_of_problem_are_sent(self, faulty: TestClient) -> None:
        answer = get(faulty, "/down")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


class TestFailures:
    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/nowhere", 404, "request.no_route"),
            ("/nul", 422, "request.unstorable_value"),
            ("/range", 422, "request.unstorable_value"),
            ("/unique", 409, "resource.changed_meanwhile"),
            ("/foreign", 409, "resource.changed_meanwhile"),
            ("/no-database", 503, "server.unavailable"),
            ("/syntax", 500, "server.internal_error"),
            ("/bug", 500, "server.internal_error"),
        ],
    )
    def test_failure_is_answered_with_problem(
        self, faulty: TestClient, path: str, status: int, code: str
    ) -> None:
        for language in ("en", "zh"):
            answer = get(faulty, path, language)
            assert answer.status_code == status
            assert answer.json()["code"] == code
            assert answer.headers["content-type"] == "application/problem+json"
            assert "secret" not in answer.text

    def test_wrong_method_is_answered_with_405(self, faulty: TestClient) -> None:
        answer = faulty.post("/bug")
        assert (answer.status_code, answer.json()["code"]) == (405, "request.method_not_allowed")
        assert answer.headers["allow"] == "GET"

    @pytest.mark.parametrize(
        ("content", "place"),
        [
            (b"", "the request's body"),
            (b"{", "the request's body"),
            (b"[]", "the request's body"),
            (b"\xff", "the request's body"),
            (b'{"name": "four"}', "name"),
            (b'{"name": "abc", "sizes": [1, "x"]}', "sizes.1"),
        ],
    )
    def test_malformed_body_names_the_place(
        self, faulty: TestClient, content: bytes, place: str
    ) -> None:
        answer = faulty.post("/body", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"
        if answer.status_code == 422:
            document = answer.json()
            assert document["code"] == "request.invalid"
            assert document["errors"][0]["place"].startswith(place)
            assert document["errors"][0]["place"] in document["detail"]

    def test_invalid_value_is_not_repeated_in_the_answer(self, faulty: TestClient) -> None:
        answer = faulty.post("/body", json={"name": "my password"})
        assert "my password" not in answer.text
