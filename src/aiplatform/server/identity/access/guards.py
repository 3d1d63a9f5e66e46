"""Guards outside projects, and what those of projects share with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import psycopg
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer
from psycopg_pool import PoolTimeout
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit
from aiplatform.server.core.database import commit, get_session, transaction
from aiplatform.server.core.errors import Problem, Unavailable
from aiplatform.server.core.problems import on_refusal
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.identity.access.gate import Gate
from aiplatform.server.identity.access.principals import (
    Principal,
    hash_token,
    principal_from,
    principal_statement,
)
from aiplatform.server.identity.errors import PermissionDenied, SessionRequired

SessionDep = Annotated[Session, Depends(get_session, scope="function")]
"""The request's session; it commits before the answer is sent."""

oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)
BearerToken = Annotated[str | None, Depends(oauth2)]
Evidence = TypeVar("Evidence")


NOTE_USE = """
UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = (
    SELECT id FROM api_keys WHERE id = %(key_id)s
    AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
    FOR NO KEY UPDATE SKIP LOCKED)
"""
"""Whoever is not the first to note a key's use need not wait for who is."""


def deny(
    session: Session,
    principal: Principal,
    permission: Permission | str,
    request: Request,
    *,
    project: UUID | None = None,
) -> PermissionDenied:
    """Record a denied attempt, and make the error that tells of it.

    The error will roll the request's transaction back, so the record is committed here, on the same
    connection: a second one taken while holding the first could exhaust the pool. A guard has only
    read so far.
    """
    session.rollback()
    _record(session, principal, str(permission), request, project)
    commit(session)
    on_refusal(request, None)
    return PermissionDenied(permission=str(permission))


def _record(
    session: Session, principal: Principal, permission: str, request: Request, project: UUID | None
) -> None:
    audit.record(
        session,
        principal.actor,
        AuditAction.ACCESS_DENIED,
        "route",
        project=project,
        outcome="denied",
        permission=permission,
        method=request.method,
        path=request.url.path[:300],
    )


def _recorder(
    principal: Principal, request: Request, project: UUID | None
) -> Callable[[Problem], None]:
    """Records what a service refuses, which knows of no request, once its transaction is gone."""

    def record(problem: Problem) -> None:
        with transaction() as session:
            missing = str(problem.params.get("permission", problem.code))
            _record(session, principal, missing, request, project)

    return record


class Guard(ABC, Generic[Evidence]):
    """What guards have in common. One is called with the request and gives its evidence.

    The database is asked on the event loop, for all requests that have come meanwhile in one round
    trip (:class:`Gate`). Whoever that does not plainly let in is looked at again by
    :meth:`authorize`, in a thread, which refuses in the right words and puts it on record. No
    session of the request's is open while its guard is at work, nor because of it afterwards.
    """

    permission: Permission | None
    allow_first_password = False
    accepts_keys = True

    @property
    @abstractmethod
    def statement(self) -> Compiled:
        """What is asked: :func:`principal_statement`, and what else decides."""

    def named(self, request: Request) -> dict[str, UUID]:  # noqa: ARG002  (some read the path)
        """The statement's parameters besides ``token_hash``."""
        return {}

    @abstractmethod
    def evidence(self, principal: Principal, row: Any) -> Evidence:
        """What the statement's row comes to.

        Raises:
            PermissionDenied: names what is missing; it will be put on record.
            Problem: for another reason.
        """

    async def admit(self, request: Request, token: str | None) -> Evidence:
        """The evidence.

        Raises:
            Unauthenticated, PasswordChangeRequired: see :func:`principal_from`.
            SessionRequired: for an API key where none is accepted.
            Unavailable: when the database can't be reached.
            Problem: see :meth:`evidence`.
        """
        row: Any = None
        if token is not None:
            gate: Gate = request.state.gate
            try:
                row = await gate.row(self.statement, hash_token(token), self.named(request))
            except PoolTimeout as error:
                # It was waited for; threads that wait for it as well would keep others waiting.
                raise Unavailable(service="The database", service_zh="数据库") from error
            except psycopg.Error:
                # It may be back; if not, this says so.
                return await run_in_threadpool(self._again, request, token)
        principal = principal_from(row, request, allow_first_password=self.allow_first_password)
        if principal.key is None or (self.accepts_keys and not row.key_use_unnoted):
            on_refusal(request, _recorder(principal, request, getattr(row, "project_uuid", None)))
            with suppress(PermissionDenied):
                return self.evidence(principal, row)
        return await run_in_threadpool(self._again, request, token)

    def _again(self, request: Request, token: str | None) -> Evidence:
        with transaction() as session:
            return self.authorize(request, session, token)

    def authorize(self, request: Request, session: Session, token: str | None) -> Evidence:
        """The same, step by step, in a session."""
        row: Any = None
        if token is not None:
            row = self.statement.one_or_none(
                session, token_hash=hash_token(token), **self.named(request)
            )
        principal = principal_from(row, request, allow_first_password=self.allow_first_password)
        project = getattr(row, "project_uuid", None)
        on_refusal(request, _recorder(principal, request, project))
        if principal.key is not None:
            if row.key_use_unnoted:
                # Committed at once: a request may take long, and may fail, and was a use anyhow.
                session.connection().exec_driver_sql(NOTE_USE, {"key_id": principal.key.key_id})
                commit(session)
            if not self.accepts_keys:
                deny(session, principal, "session", request)
                raise SessionRequired
        try:
            return self.evidence(principal, row)
        except PermissionDenied as denied:
            deny(session, principal, denied.params["permission"], request, project=project)
            raise


class PublicGuard:
    """Declares that a route is open to everybody."""

    permission = None

    async def __call__(self) -> None:
        """Let everybody in."""


PUBLIC = PublicGuard()
Public = Annotated[None, Depends(PUBLIC)]


def is_public(route: APIRoute) -> bool:
    """Whether the route is open to everybody."""

    def lets_in(dependant: Any) -> bool:
        return any(
            isinstance(inner.call, PublicGuard) or lets_in(inner)
            for inner in dependant.dependencies
        )

    return lets_in(route.dependant)


@cache
def _principals() -> Compiled:
    return compiled(principal_statement())


class PlatformGuard(Guard[Principal]):
    """Lets in who is signed in and, when a permission is named, holds it globally.

    API keys pass where a permission is named that their scopes can be held against, and where
    ``accepts_keys`` says so. A route that does without must mind the scopes itself.
    """

    def __init__(
        self,
        permission: Permission | None = None,
        *,
        allow_first_password: bool = False,
        accepts_keys: bool | None = None,
    ) -> None:
        self.permission = permission
        self.allow_first_password = allow_first_password
        self.accepts_keys = permission is not None if accepts_keys is None else accepts_keys

    async def __call__(self, request: Request, token: BearerToken) -> Principal:
        """The principal.

        Raises:
            Unauthenticated, PasswordChangeRequired, SessionRequired, PermissionDenied: see there.
        """
        return await self.admit(request, token)

    @property
    def statement(self) -> Compiled:
        """Token or key, user and global role."""
        return _principals()

    def evidence(self, principal: Principal, row: Any) -> Principal:  # noqa: ARG002
        """The principal.

        Raises:
            PermissionDenied: see there.
        """
        if not self.allows(principal):
            raise PermissionDenied(permission=str(self.permission))
        return principal

    def allows(self, principal: Principal) -> bool:
        """Whether the principal passes."""
        return self.permission is None or principal.may(self.permission)


SignedIn = Annotated[Principal, Depends(PlatformGuard())]
"""Signed in by a session; API keys are refused."""
SignedInOrKey = Annotated[Principal, Depends(PlatformGuard(accepts_keys=True))]
"""Signed in or by an API key, whose scopes and project the route minds."""
FirstPassword = Annotated[Principal, Depends(PlatformGuard(allow_first_password=True))]
"""Signed in, perhaps with a first password that must still be replaced."""
