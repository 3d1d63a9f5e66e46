"""Tests of concurrent requests to one resumable upload, and of broken connections.

The tests use real connections.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.datasets.errors import IngestFailed
from aiplatform.server.datasets.models import DatasetUpload
from aiplatform.server.datasets.service import resumable
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_token
from tests.server.datasets.conftest import jsonl
from tests.server.datasets.test_resumable import CONTENT, PIECE, Tus, spooled

pytestmark = pytest.mark.usefixtures("app", "empty_spool")


@pytest.fixture
def tus(mine: Api, project: Project) -> Tus:
    return Tus(mine, project)


def test_second_writer_is_refused_while_a_piece_arrives(
    tus: Tus, server_url: str, session: Session, owner: User
) -> None:
    """Check that other requests are refused while one client has sent half a piece."""
    content = jsonl([{"text": "x" * 1000, "n": n} for n in range(3000)])
    place = tus.begin(len(content))
    token = make_token(session, owner)
    half = len(content) // 2
    with connected(server_url, place, token, len(content)) as raw:
        raw.sendall(content[:half])
        deadline = time.monotonic() + 20
        while not (there := tus.offset(place)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for offset in (0, there):
            second = tus.send(place, offset, b"y" * (len(content) - offset))
            assert (second.status_code, second.json()["code"]) == (423, "upload.locked")
        assert tus.api.delete(place).status_code == 423
        raw.sendall(content[half:])
        assert answer_of(raw) == 204
    shown = tus.api.get(place).json()
    assert shown["status"] == "committed"
    kept = tus.api.get(
        f"datasets/{shown['result']['dataset']}/versions/v1/content", params={"format": "original"}
    )
    assert kept.content == content
    # Repeating the last piece succeeds; any other piece has a wrong offset.
    assert tus.send(place, len(content), b"").status_code == 204
    late = tus.send(place, there, content[there:])
    assert (late.status_code, late.json()["code"]) == (409, "upload.wrong_offset")


def connected(url: str, place: str, token: str, length: int) -> socket.socket:
    """Open a connection and announce a piece of ``length`` bytes on it."""
    address = urlsplit(url)
    raw = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60)
    raw.sendall(
        (
            f"PATCH /api/v1/{place} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token}\r\n"
            f"Tus-Resumable: 1.0.0\r\nContent-Type: {PIECE['Content-Type']}\r\n"
            f"Upload-Offset: 0\r\nContent-Length: {length}\r\n\r\n"
        ).encode()
    )
    return raw


def test_broken_connection_keeps_what_arrived(
    tus: Tus, server_url: str, session: Session, owner: User
) -> None:
    """Send half a piece over a real socket, then close the socket."""
    content = jsonl([{"text": "x" * 1000, "n": n} for n in range(3000)])
    place = tus.begin(len(content))
    half = len(content) // 2
    with connected(server_url, place, make_token(session, owner), len(content)) as raw:
        raw.sendall(content[:half])
        time.sleep(0.3)
    deadline = time.monotonic() + 5
    while (offset := tus.offset(place)) < half and time.monotonic() < deadline:
        time.sleep(0.05)
    assert offset == half
    deadline = time.monotonic() + 5
    while (answer := tus.send(place, half, content[half:])).status_code == 423:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.status_code == 204, answer.text
    assert (
        tus.api.get(f"datasets/{answer.headers['aiplatform-dataset']}").json()["row_count"] == 3000
    )


def test_one_of_many_concurrent_uploads_is_stored(
    tus: Tus,
    server_url: str,
    session: Session,
    owner: User,
    stored_state: Callable[[], dict[str, Any]],
) -> None:
    """Let each client send a different file to the same upload."""
    contents = [jsonl([{"text": who * 200, "n": n} for n in range(1000, 2000)]) for who in "abcdef"]
    assert len({len(content) for content in contents}) == 1
    before = stored_state()
    place = tus.begin(len(contents[0]))
    token = make_token(session, owner)
    with ExitStack() as stack:
        raws = [
            stack.enter_context(connected(server_url, place, token, len(content)))
            for content in contents
        ]
        for raw, content in zip(raws, contents, strict=True):
            with suppress(OSError):  # the server has already answered and disconnected
                raw.sendall(content)
        answers = [answer_of(raw) for raw in raws]
    assert answers.count(204) == 1
    # A late request finds the upload locked or ended.
    assert set(answers) <= {204, 423, 409}
    shown = tus.api.get(place).json()
    assert shown["status"] == "committed"
    uuid = shown["result"]["dataset"]
    kept = tus.api.get(
        f"datasets/{uuid}/versions/v1/content", params={"format": "original"}
    ).content
    assert kept == contents[answers.index(204)]
    assert len(tus.api.get(f"datasets/{uuid}/versions").json()["items"]) == 1
    after = stored_state()
    assert after["datasets"] == before["datasets"] + 1
    assert after["spooled"] == before["spooled"]
    assert tus.api.request("DELETE", f"datasets/{uuid}").is_success


def answer_of(raw: socket.socket) -> int:
    return int(raw.makefile("rb").readline().split()[1])


def test_concurrent_pieces_of_one_file_give_the_whole_file(
    tus: Tus, server_url: str, session: Session, owner: User
) -> None:
    """Let three clients continue the same upload, each as if it were alone."""
    content = jsonl([{"text": "x" * 200, "n": n} for n in range(400)])
    place = tus.begin(len(content))
    token = make_token(session, owner)
    size = len(content) // 7

    def whole(_: int) -> set[int]:
        told = set()
        with httpx.Client(base_url=f"{server_url}/api/v1/", timeout=60) as http:
            headers = {"Authorization": f"Bearer {token}", **PIECE}
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                found = http.head(place, headers=headers)
                offset = int(found.headers["upload-offset"])
                if offset == len(content):
                    return told
                answer = http.patch(
                    place, headers={**headers, "Upload-Offset": str(offset)},
                    content=content[offset : offset + size],
                )  # fmt: skip
                told.add(answer.status_code)
        pytest.fail("it never ends")

    with ThreadPoolExecutor(3) as pool:
        told = set().union(*pool.map(whole, range(3)))
    assert told <= {204, 409, 423}
    shown = tus.api.get(place).json()
    # The request with the last byte is answered after the commit.
    assert shown["status"] == "committed"
    path = f"datasets/{shown['result']['dataset']}/versions/v1/content"
    assert tus.api.get(path, params={"format": "original"}).content == content
    assert spooled() == []


def test_upload_after_a_crash_is_committed_once(
    tus: Tus,
    server_url: str,
    session: Session,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    stored_state: Callable[[], dict[str, Any]],
) -> None:
    """Repeat the last request from several clients after all bytes arrived without a commit."""
    place = tus.begin(len(CONTENT), name="made up for")

    async def die(*_: Any, **__: Any) -> None:
        raise IngestFailed(ending="signal SIGKILL")

    with monkeypatch.context() as patch:
        patch.setattr("aiplatform.server.datasets.endpoints.resumable.finish_upload", die)
        assert tus.send(place, 0, CONTENT).status_code == 500
    before = stored_state()
    headers = {
        "Authorization": f"Bearer {make_token(session, owner)}",
        **PIECE,
        "Upload-Offset": str(len(CONTENT)),
    }
    together = threading.Barrier(5)

    def ask(_: int) -> int:
        together.wait(20)
        url = f"{server_url}/api/v1/{place}"
        return int(httpx.patch(url, headers=headers, content=b"", timeout=60).status_code)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, range(5)))
    assert 204 in answers
    assert set(answers) <= {204, 423}
    after = stored_state()
    assert after["datasets"] == before["datasets"] + 1
    assert tus.api.get(place).json()["result"]["version"] == "v1"
    assert spooled() == []


@pytest.mark.parametrize("opened", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("ended", "offset", "answer"),
    [("committed", 0, (409, "upload.wrong_offset")), ("committed", len(CONTENT), (204, None)),
     ("refused", 0, (409, "upload.refused"))],
)  # fmt: skip
def test_piece_for_an_upload_that_ends_meanwhile_is_answered_with_the_result(
    tus: Tus,
    monkeypatch: pytest.MonkeyPatch,
    opened: bool,
    ended: str,
    offset: int,
    answer: tuple[int, str | None],
) -> None:
    """End the upload after a request has read its row, either before or after it opens the file."""
    place = tus.begin()
    real = resumable.open_locked

    def end(uuid: UUID) -> None:
        result = {"dataset": str(uuid), "version": "v1", "detail": "line 1"}
        with transaction() as session:
            session.execute(
                update(DatasetUpload)
                .where(DatasetUpload.uuid == uuid)
                .values(status=ended, result=result)
            )
        resumable.file_of(uuid).unlink()

    @contextmanager
    def open_ended(uuid: UUID) -> Iterator[int]:
        if not opened:
            end(uuid)
        with real(uuid) as descriptor:
            end(uuid)
            yield descriptor

    monkeypatch.setattr(resumable, "open_locked", open_ended)
    told = tus.send(place, offset, CONTENT[offset:])
    assert told.status_code == answer[0], told.text
    assert answer[1] is None or told.json()["code"] == answer[1]
