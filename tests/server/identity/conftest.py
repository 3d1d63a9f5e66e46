"""Helpers and fixtures for the tests of accounts and sign-ins."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import AuthToken, User
from tests.conftest import environment
from tests.factories import PASSWORD
from tests.openapi_checks import CheckedClient
from tests.server.identity.fake_provider import CLIENT_ID, FakeProvider, Flow


def sign_in(client: CheckedClient, username: str, password: str = PASSWORD, **options: Any) -> Any:
    return client.post(
        "/api/v1/auth/token",
        data={"username": username, "password": password, "grant_type": "password"},
        **options,
    )


def renew(client: CheckedClient, token: str) -> Any:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def me(client: CheckedClient, token: str) -> int:
    answer = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


def actions(session: Session, user: User) -> list[str]:
    session.rollback()
    return list(
        session.scalars(
            select(AuditLog.action).where(AuditLog.user_id == user.id).order_by(AuditLog.id)
        )
    )


def age_used_tokens(session: Session, seconds: float) -> None:
    """Move the ``used_at`` time of all used refresh tokens ``seconds`` into the past."""
    session.execute(
        update(AuthToken)
        .where(AuthToken.used_at.is_not(None))
        .values(used_at=AuthToken.used_at - timedelta(seconds=seconds))
    )
    session.commit()


@pytest.fixture
def provider(client: Any) -> Iterator[FakeProvider]:
    client.cookies.clear()
    made = FakeProvider()
    with environment(
        AIPLATFORM_OIDC_ISSUER=made.issuer,
        AIPLATFORM_OIDC_CLIENT_ID=CLIENT_ID,
        AIPLATFORM_OIDC_CLIENT_SECRET="secret",
        AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8",
    ):
        yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def flow(client: Any, provider: FakeProvider) -> Flow:
    return Flow(client, provider)
