"""Guards for routes outside projects, and the base class of all guards."""

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
from aiplatform.server.core.async_database import AsyncDatabase
from aiplatform.server.core.database import commit, get_session, transaction
from aiplatform.server.core.errors import Problem, Unavailable
from aiplatform.server.core.problems import set_denial_action
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.identity.access.principals import (
    Principal,
    hash_token,
    principal_from,
    principal_statement,
)
from aiplatform.server.identity.errors import PermissionDenied, SessionRequired

SessionDep = Annotated[Session, Depends(get_session, scope="function")]
"""The request's database session. It commits before the response is sent."""

oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)
BearerToken = Annotated[str | None, Depends(oauth2)]
Evidence = TypeVar("Evidence")


RECORD_KEY_USE = """
UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = (
    SELECT id FROM api_keys WHERE id = %(key_id)s
    AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
    FOR NO KEY UPDATE SKIP LOCKED)
"""
"""Statement that records the use of an API key, unless another request is currently doing so."""


def deny(
    session: Session,
    principal: Principal,
    permission: Permission | str,
    request: Request,
    *,
    project: UUID | None = None,
) -> PermissionDenied:
    """Record a denied attempt and return the error that reports it.

    The error will roll back the request's transaction, so the record is committed here. It uses the
    same connection, because taking a second one while the first is held could exhaust the pool. The
    guard has only read data so far, so the rollback loses nothing.
    """
    session.rollback()
    _record(session, principal, str(permission), request, project)
    commit(session)
    set_denial_action(request, None)
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
    """Return a function that records a service's refusal after its transaction was rolled back.

    A service does not have access to the request, but the record must also name the route.
    """

    def record(problem: Problem) -> None:
        with transaction() as session:
            missing = str(problem.params.get("permission", problem.code))
            _record(session, principal, missing, request, project)

    return record


class Guard(ABC, Generic[Evidence]):
    """Base class of the guards, which check a request and return evidence of the caller's rights.

    The permission query runs on the event loop, without a session. If its result does not admit the
    caller, :meth:`authorize` repeats the check in a thread, raises the right error and records the
    refusal. The request's own session is not open while the guard runs, and the guard leaves none
    open.
    """

    permission: Permission | None
    allow_first_password = False
    accepts_keys = True

    @property
    @abstractmethod
    def statement(self) -> Compiled:
        """:func:`principal_statement`, extended by the columns that the guard's decision needs."""

    def parameters(self, request: Request) -> dict[str, UUID]:  # noqa: ARG002  (some read the path)
        """Return the statement's parameters, except ``token_hash``."""
        return {}

    @abstractmethod
    def evidence(self, principal: Principal, row: Any) -> Evidence:
        """Return the evidence for a principal from the row returned by the statement.

        Raises:
            PermissionDenied: names the missing permission; the refusal will be recorded.
            Problem: for other reasons.
        """

    async def admit(self, request: Request, token: str | None) -> Evidence:
        """Admit the caller and return the evidence.

        Raises:
            Unauthenticated, PasswordChangeRequired: see :func:`principal_from`.
            SessionRequired: for an API key where none is accepted.
            Unavailable: when the database can't be reached.
            Problem: see :meth:`evidence`.
        """
        row: Any = None
        if token is not None:
            database: AsyncDatabase = request.state.database
            statement = self.statement
            values = statement.values(token_hash=hash_token(token), **self.parameters(request))
            try:
                row = next(iter(await database.rows(statement.text, values)), None)
            except PoolTimeout as error:
                # This request has already waited for a connection. Waiting again in a thread would
                # take threads away from other requests.
                raise Unavailable(service="The database", service_zh="数据库") from error
            except psycopg.Error:
                # The database may be back by now. If not, this call raises the error.
                return await run_in_threadpool(self._again, request, token)
        principal = principal_from(row, request, allow_first_password=self.allow_first_password)
        if principal.key is None or (self.accepts_keys and not row.key_use_unrecorded):
            set_denial_action(
                request, _recorder(principal, request, getattr(row, "project_uuid", None))
            )
            with suppress(PermissionDenied):
                return self.evidence(principal, row)
        return await run_in_threadpool(self._again, request, token)

    def _again(self, request: Request, token: str | None) -> Evidence:
        with transaction() as session:
            return self.authorize(request, session, token)

    def authorize(self, request: Request, session: Session, token: str | None) -> Evidence:
        """Repeat the check of :meth:`admit` step by step in a session, recording a refusal."""
        row: Any = None
        if token is not None:
            row = self.statement.one_or_none(
                session, token_hash=hash_token(token), **self.parameters(request)
            )
        principal = principal_from(row, request, allow_first_password=self.allow_first_password)
        project = getattr(row, "project_uuid", None)
        set_denial_action(request, _recorder(principal, request, project))
        if principal.key is not None:
            if row.key_use_unrecorded:
                # Commit this now: the request may take long or fail, but the key has been used in
                # any case.
                session.connection().exec_driver_sql(
                    RECORD_KEY_USE, {"key_id": principal.key.key_id}
                )
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
    """A guard that admits everyone."""

    permission = None

    async def __call__(self) -> None:
        """Admit everyone."""


PUBLIC = PublicGuard()
Public = Annotated[None, Depends(PUBLIC)]


def is_public(route: APIRoute) -> bool:
    """Return True if the route is open to everyone."""

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
    """A guard that admits signed-in users who, if it names a permission, hold it globally.

    API keys are accepted if the guard names a permission, with which their scopes can be compared,
    or if ``accepts_keys`` is true. A route whose guard names no permission but accepts keys must
    check the scopes itself.
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
        """Return the principal.

        Raises:
            Unauthenticated, PasswordChangeRequired, SessionRequired, PermissionDenied: see
                :meth:`admit` and :meth:`evidence`.
        """
        return await self.admit(request, token)

    @property
    def statement(self) -> Compiled:
        """The query for the token or API key, its user, and the user's global role."""
        return _principals()

    def evidence(self, principal: Principal, row: Any) -> Principal:  # noqa: ARG002
        """Return the principal if the guard admits them.

        Raises:
            PermissionDenied: when they do not hold the permission.
        """
        if not self.allows(principal):
            raise PermissionDenied(permission=str(self.permission))
        return principal

    def allows(self, principal: Principal) -> bool:
        """Return True if the guard admits the principal."""
        return self.permission is None or principal.may(self.permission)


SignedIn = Annotated[Principal, Depends(PlatformGuard())]
"""A principal with a session. API keys are refused."""
SignedInOrKey = Annotated[Principal, Depends(PlatformGuard(accepts_keys=True))]
"""A principal with a session or an API key. The route checks the key's scopes and project."""
FirstPassword = Annotated[Principal, Depends(PlatformGuard(allow_first_password=True))]
"""A principal with a session, whose initial password may still have to be replaced."""
