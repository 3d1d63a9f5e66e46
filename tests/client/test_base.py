"""Tests of lists that are fetched page by page."""

import inspect
from typing import Any

import pytest

from aiplatform.client import Client, Pages
from tests.client.fake import FakeServer, page
from tests.openapi_checks import Partial
from tests.surface.recorder import classes, methods_of

LISTS = [
    pytest.param(member, id=f"{kind.__name__}.{name}")
    for kind in classes()
    for name, member in methods_of(kind)
    if (
        inspect.isfunction(member)
        and str(member.__annotations__.get("return", "")).strip("\"'").startswith("Pages[")
    )
    or (
        inspect.isfunction(member)
        and "base.Pages[" in str(member.__annotations__.get("return", ""))
    )
]


@pytest.mark.parametrize("method", LISTS)
def test_every_list_of_the_sdk_takes_a_limit(method: Any) -> None:
    parameter = inspect.signature(method).parameters.get("limit")
    assert parameter is not None
    assert parameter.default is None
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_sdk_has_lists() -> None:
    assert len(LISTS) > 30


def numbers(asked: list[int], total: int = 250) -> Pages[int]:
    """Return a paged list of numbers, recording the requested page sizes in ``asked``."""

    def fetch(cursor: str | None, size: int) -> dict[str, Any]:
        asked.append(size)
        start = int(cursor or 0)
        end = min(start + size, total)
        return {"items": range(start, end), "next_cursor": str(end) if end < total else None}

    return Pages(fetch, int)


@pytest.mark.parametrize(("limit", "sizes"), [(0, []), (3, [3]), (100, [100]), (150, [100, 100])])
def test_limit_ends_a_list_without_further_requests(limit: int, sizes: list[int]) -> None:
    asked: list[int] = []
    plain = numbers(asked)
    limited = Pages(plain._fetch, int, limit=limit)
    assert list(limited) == list(range(limit))
    assert asked == sizes
    assert limited.all() == list(range(limit))
    assert limited.take(2) == list(range(min(2, limit)))
    assert limited.first() == (0 if limit else None)


def test_limit_beyond_the_end_returns_the_whole_list() -> None:
    assert len(list(Pages(numbers([])._fetch, int, limit=10_000))) == 250


def test_limit_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Pages(numbers([])._fetch, int, limit=-1)


def test_limit_of_a_list_is_sent_as_page_size(client: Client, server: FakeServer) -> None:
    server.on("GET users", page(Partial({"uuid": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                                 "username": "ann", "email": "a@b.c", "role": "user",
                                 "is_active": True}), next_cursor="more"))  # fmt: skip
    assert [user.username for user in client.users.list(limit=1)] == ["ann"]
    assert server.requests[0].url.params["limit"] == "1"
