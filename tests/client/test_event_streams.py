"""Tests of parsing server-sent events from chunks of any size."""

import pytest

from aiplatform.client.event_streams import ServerEvent, events

STREAM = (
    ': hello\n\nid: 1\nevent: log\ndata: {"text":"一\u2028二\x85"}\n\n'
    "data: two\ndata:  lines\n\nid\ndata:x\nretry: 5\n\nevent: cut"
)
MEANT = [
    None,
    ServerEvent("log", '{"text":"一\u2028二\x85"}', "1"),
    ServerEvent("message", "two\n lines", "1"),
    ServerEvent("message", "x", ""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_events_do_not_depend_on_chunk_boundaries(size: int, ending: str) -> None:
    text = STREAM.replace("\n", ending).encode()
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(events(chunks)) == MEANT


def test_event_is_yielded_at_once() -> None:
    stream = events(iter([b"data: 1\r\n\r\n", b"data: 2\n\n"]))
    assert next(stream) == ServerEvent("message", "1", None)
