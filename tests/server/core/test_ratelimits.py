"""Tests of rate limits."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from aiplatform.server.core import ratelimits
from aiplatform.server.core.ratelimits import storage_url
from aiplatform.server.core.settings import limit_of
from tests.conftest import environment
from tests.factories import PASSWORD, make_token, make_user
from tests.openapi_checks import CheckedClient

FEW = {
    "AIPLATFORM_RATE_LIMIT_LOGIN": "3/hour",
    "AIPLATFORM_RATE_LIMIT_ANONYMOUS": "20/hour",
    "AIPLATFORM_RATE_LIMIT_NORMAL": "5/hour",
    "AIPLATFORM_RATE_LIMIT_INGEST": "7/hour",
}


@pytest.fixture
def middle_of_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock so that no rate window ends during a test and no two tests share a window."""
    at = int(time.time_ns() // 1000 % 10**9) * 3600 + 60
    monkeypatch.setattr(ratelimits.time, "time", lambda: at)


@pytest.fixture
def limited(
    database_url: str, broker_url: str, middle_of_the_hour: None
) -> Iterator[CheckedClient]:
    from aiplatform.server.app import create_app

    with (
        environment(**FEW, AIPLATFORM_BROKER_URL=broker_url),
        CheckedClient(
            create_app(), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 1)
        ) as client,
    ):
        yield client


def bearer(session: Any, user: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(session, user)}"}


def statuses(client: CheckedClient, times: int, path: str, **options: Any) -> list[int]:
    return [client.get(path, **options).status_code for _ in range(times)]


class TestLimits:
    def test_limit_of_account_covers_all_its_tokens(
        self, limited: CheckedClient, session: Any
    ) -> None:
        user, other = make_user(session), make_user(session)
        one, two = bearer(session, user), bearer(session, user)
        limited.get("/api/v1/users/me", headers=one)  # a new token counts against its address first
        limited.get("/api/v1/users/me", headers=two)
        assert statuses(limited, 3, "/api/v1/users/me", headers=one) == [200] * 3
        assert statuses(limited, 3, "/api/v1/users/me", headers=two) == [200, 200, 429]
        limited.get("/api/v1/users/me", headers=bearer(session, other))
        assert limited.get("/api/v1/users/me", headers=bearer(session, other)).status_code == 200

    def test_refusal_says_when_to_retry(self, limited: CheckedClient, session: Any) -> None:
        who = bearer(session, make_user(session))
        statuses(limited, 6, "/api/v1/users/me", headers=who)
        answer = limited.get("/api/v1/users/me", headers=who)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "3540"
        assert answer.headers["ratelimit"] == '"normal";r=0;t=3540'
        assert answer.headers["ratelimit-policy"] == '"normal";q=5;w=3600'
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "request.rate_limited"
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_headers_contain_remaining_requests(self, limited: CheckedClient, session: Any) -> None:
        who = bearer(session, make_user(session))
        limited.get("/api/v1/users/me", headers=who)
        left = [limited.get("/api/v1/users/me", headers=who).headers["ratelimit"] for _ in range(3)]
        assert [text.partition(";t")[0] for text in left] == [f'"normal";r={n}' for n in (4, 3, 2)]

    def test_refusal_below_v1_has_the_openai_error_format(
        self, limited: CheckedClient, session: Any
    ) -> None:
        who = bearer(session, make_user(session))
        assert statuses(limited, 9, "/v1/models", headers=who)[-2:] == [200, 429]
        answer = limited.get("/v1/models", headers=who)
        assert answer.json()["error"]["code"] == "request.rate_limited"
        assert answer.headers["retry-after"]

    def test_invalid_tokens_count_for_their_address(self, limited: CheckedClient) -> None:
        got = [
            limited.get("/api/v1/users/me", headers={"Authorization": f"Bearer {n}"}).status_code
            for n in range(22)
        ]
        assert got == [401] * 20 + [429] * 2

    def test_sign_in_has_its_own_limit(self, limited: CheckedClient, session: Any) -> None:
        user = make_user(session)
        form = {"username": user.username, "password": PASSWORD, "grant_type": "password"}
        got = [limited.post("/api/v1/auth/token", data=form).status_code for _ in range(4)]
        assert got == [200, 200, 200, 429]
        # A request that sends a token counts against the same limit.
        answer = limited.post("/api/v1/auth/token", data=form, headers=bearer(session, user))
        assert answer.status_code == 429

    def test_ipv6_network_counts_as_one_address(self, limited: CheckedClient) -> None:
        """Send requests from several addresses of a /64 network, which one customer may own."""
        with environment(AIPLATFORM_TRUSTED_PROXIES="127.0.0.1"):

            def sign_in(address: str) -> int:
                form = {"username": "nobody", "password": "x", "grant_type": "password"}
                headers = {"X-Forwarded-For": address}
                return limited.post("/api/v1/auth/token", data=form, headers=headers).status_code

            got = [sign_in(f"2001:db8:1:2::{n:x}") for n in range(1, 5)]
            assert got == [401, 401, 401, 429]
            assert sign_in("2001:db8:1:3::1") == 401

    def test_processes_share_a_count(self, limited: CheckedClient, session: Any) -> None:
        from aiplatform.server.app import create_app

        statuses(limited, 20, "/api/v1/health")
        with CheckedClient(
            create_app(), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 2)
        ) as second:
            assert second.get("/api/v1/health").status_code == 429

    def test_limit_applies_without_the_store(
        self, database_url: str, middle_of_the_hour: None
    ) -> None:
        from aiplatform.server.app import create_app

        nowhere = "redis+socket:///tmp/aip-no-such-socket?virtual_host=0"
        with (
            environment(**FEW, AIPLATFORM_BROKER_URL=nowhere),
            CheckedClient(
                create_app(), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 1)
            ) as client,
        ):
            got = statuses(client, 22, "/api/v1/users/me")
        assert got == [401] * 20 + [429] * 2

    def test_limit_off_sends_no_headers(self, client: CheckedClient) -> None:
        assert "ratelimit" not in client.get("/api/v1/health").headers


class TestSettings:
    def test_storage_url(self) -> None:
        assert (
            storage_url("redis+socket:///a/b.sock?virtual_host=3") == "redis+unix:///a/b.sock?db=3"
        )
        assert storage_url("rediss://h:1/2") == "rediss://h:1/2"
        assert storage_url("amqp://h") is None
        assert storage_url("memory://") is None

    def test_limit_of(self) -> None:
        assert limit_of(" OFF ") is None
        found = limit_of("10/5 second")
        assert found is not None
        assert (found.amount, found.get_expiry()) == (10, 5)
        with pytest.raises(ValueError, match="many"):
            limit_of("many")
