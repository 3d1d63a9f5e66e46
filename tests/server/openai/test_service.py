"""Tests of parts of the OpenAI-compatible API: model names, connections, look-ups and audit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import Session

from aiplatform.server.identity.errors import SsoFailed
from aiplatform.server.inference.models import Deployment
from aiplatform.server.openai.rules import Variant, error_type, parse_model
from aiplatform.server.openai.service import access_watch, answers, connections
from aiplatform.server.openai.service.connections import ConnectionLostError, Connections
from tests.server.openai.conftest import orders
from tests.server.openai.test_audit import audited
from tests.server.openai.test_chat import collect

AWAY = OperationalError("SELECT 1", {}, Exception("the server closed the connection"))
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("name", "deployment", "variant"),
    [
        ("faq", "faq", Variant.MODEL),
        ("faq:base", "faq", Variant.BASE),
        ("faq:base:base", "faq:base", Variant.BASE),
        (":base", "", Variant.BASE),
        ("a\x00b", "a\ufffdb", Variant.MODEL),
    ],
)
def test_parse_model_splits_name_and_variant(name: str, deployment: str, variant: Variant) -> None:
    model = parse_model(name)
    assert (model.deployment, model.variant) == (deployment, variant)


@pytest.mark.parametrize("name", ["0F2C8B0E-1f5e-4c7e-9a55-6d1b1a3a7c11", "{0}", "urn:uuid:0"])
def test_parse_model_accepts_one_spelling_of_uuids(name: str) -> None:
    """Check that other spellings of a uuid are treated as names."""
    assert parse_model(name).uuid is None


def test_error_type_depends_on_the_status() -> None:
    types = {status: error_type(status) for status in (400, 401, 403, 404, 422, 429, 500, 503)}
    assert types[401] == "authentication_error"
    assert types[400] == types[404] == types[422] == "invalid_request_error"
    assert types[500] == types[503] == "server_error"


@pytest.mark.parametrize(
    ("data", "usage"),
    [
        (b'{"choices":[],"usage":{"total_tokens":3}}', {"total_tokens": 3}),
        (b'data: {"usage":null}\n\ndata: {"usage":{"total_tokens":3}}\n\n', {"total_tokens": 3}),
        (b'{"usage":{"prompt_tokens":1,"details":{"a":1}}}', {"prompt_tokens": 1}),
        (b'{"text":"\\"usage\\":{"}', None),
        (b'data: {"usage":{"broken"\n\n', None),
        (b'{"usage":{}', None),
        (b"", None),
    ],
)
def test_usage_in_finds_token_counts(data: bytes, usage: dict[str, int] | None) -> None:
    assert answers.usage_in(data) == usage


class TestConnections:
    """Tests of connections to model servers that misbehave."""

    @staticmethod
    def run(path: Path, serve: Handler, client: Callable[[str], Awaitable[None]]) -> None:
        async def both() -> None:
            server = await asyncio.start_unix_server(serve, path)
            async with server:
                await client(f"unix:{path}")

        asyncio.run(both())

    def test_server_without_http_is_lost(self, tmp_path: Path) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"SSH-2.0-OpenSSH\r\n")

        async def client(endpoint: str) -> None:
            connection = await Connections().get(endpoint)
            with pytest.raises(ConnectionLostError, match="not HTTP"):
                await connection.send(b"GET / HTTP/1.1\r\n\r\n")

        self.run(tmp_path / "s", serve, client)

    def test_unreachable_server_is_lost(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectionLostError, match="can't reach"):
            asyncio.run(Connections().get(f"unix:{tmp_path}/none"))
        with pytest.raises(ConnectionLostError, match="can't reach"):
            asyncio.run(Connections().get("http://127.0.0.1:1"))

    def test_connection_with_unexpected_data_is_not_kept(self, tmp_path: Path) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

        async def client(endpoint: str) -> None:
            pool = Connections()
            connection = await pool.get(endpoint)
            await connection.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await connection.read() == b"ok"
            pool.give_back(endpoint, connection)
            assert await pool.get(endpoint) is connection
            pool.give_back(endpoint, connection)
            await asyncio.sleep(0.3)
            assert await pool.get(endpoint) is not connection

        self.run(tmp_path / "s", serve, client)

    def test_unfinished_answer_closes_the_connection(self, tmp_path: Path) -> None:
        hung_up = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            while await reader.read(100):
                pass
            hung_up.set()

        async def client(endpoint: str) -> None:
            pool = Connections()
            connection = await pool.get(endpoint)
            await connection.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await connection.read() == b"ok"
            pool.give_back(endpoint, connection)
            await asyncio.wait_for(hung_up.wait(), 5)

        self.run(tmp_path / "s", serve, client)

    def test_slow_reader_pauses_the_server(self, tmp_path: Path) -> None:
        sent = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.read(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while sent < 100_000_000:
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

        async def client(endpoint: str) -> None:
            connection = await Connections().get(endpoint)
            await connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0.5)
            assert sent < 20 * connections.BUFFER_BYTES
            received = 0
            while received < 100_000_000:
                received += len(await connection.read())

        self.run(tmp_path / "s", serve, client)


def test_look_ups_survive_lost_connections(
    chat: openai.OpenAI, session: Session, deployment: Deployment
) -> None:
    chat.chat.completions.create(model=deployment.name, messages=orders())
    cut = session.scalars(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'aiplatform direct' AND datname = current_database()"
        )
    ).all()
    session.commit()
    assert cut == [True] * len(cut)
    assert cut
    time.sleep(0.1)
    assert chat.chat.completions.create(model=deployment.name, messages=orders()).choices


def test_unreachable_database_is_reported(
    chat: openai.OpenAI, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(answers.Lookups, "_rows", away)
    with pytest.raises(openai.InternalServerError) as refused:
        chat.chat.completions.create(model=deployment.name, messages=orders())
    assert refused.value.status_code == 503
    assert refused.value.code == "server.unavailable"


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
def test_unwatched_answers_end_soon(
    chat: openai.OpenAI, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    back = threading.Event()

    def away(_: Any) -> Any:
        if how == "says nothing":
            back.wait(30)
        raise AWAY

    monkeypatch.setattr(access_watch, "_read_access", away)
    monkeypatch.setattr(access_watch, "UNCHECKED_SECONDS", 1.5)
    stream = chat.chat.completions.create(
        model=deployment.name, messages=orders(tokens=1000, delay=0.02), stream=True
    )
    chunks: list[Any] = []
    with pytest.raises(openai.APIError) as broken:
        collect(stream, chunks)
    back.set()
    assert broken.value.code == "server.unavailable"
    assert len(chunks) < 1000, "the answer ended by itself"


def test_journal_waits_for_the_database(
    chat: openai.OpenAI,
    session: Session,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, tries = answers._write, []

    def later(entries: list[answers.Entry]) -> None:
        tries.append(len(entries))
        if len(tries) < 3:
            raise AWAY
        write(entries)

    monkeypatch.setattr(answers, "_write", later)
    monkeypatch.setattr(answers, "RETRY_SECONDS", 0.1)
    chat.chat.completions.create(model=deployment.name, messages=orders())
    audited(session, deployment)
    assert len(tries) == 3


def test_refused_entry_does_not_block_others(
    chat: openai.OpenAI,
    session: Session,
    deploy: Callable[..., Deployment],
    project: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = deploy(project), deploy(project)
    write = answers._write

    def refuse(entries: list[answers.Entry]) -> None:
        if any(entry.call.model.text == bad.name for entry in entries):
            raise DataError("INSERT", {}, Exception("invalid"))
        write(entries)

    monkeypatch.setattr(answers, "_write", refuse)
    for deployment in (bad, good):
        chat.chat.completions.create(model=deployment.name, messages=orders())
    audited(session, good)


def test_error_event_has_the_format_of_openai() -> None:
    from aiplatform.server.openai.endpoints import error_event

    event = error_event(SsoFailed(reason="a line\nbreak", reason_zh="换\n行"), "zh")
    assert event.startswith(b'data: {"error":{')
    assert event.count(b"\n") == 2


def test_too_large_body_is_refused(chat: openai.OpenAI, server_url: str) -> None:
    answer = httpx.post(
        f"{server_url}/v1/chat/completions",
        content=b'{"model": "' + b"m" * (5 << 20),
        headers={"Authorization": f"Bearer {chat.api_key}"},
    )
    assert answer.status_code == 413
