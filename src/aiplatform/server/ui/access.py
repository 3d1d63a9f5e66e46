"""Guards for the web interface."""

from uuid import UUID

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.session_cookie import CookieTokens
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import service
from aiplatform.server.identity.access import BearerToken, PlatformGuard, Principal, actor_of
from aiplatform.server.projects.access import ProjectGuard, ResourcePath


class BrowserGuard(PlatformGuard):
    """A guard that admits signed-in users, and renews the cookie's tokens when due.

    It stores the cookie's new content in the request's state as ``renewed_cookie``.
    """

    def __init__(self) -> None:
        super().__init__(allow_first_password=True)

    async def __call__(self, request: Request, token: BearerToken) -> Principal:
        """Return the principal.

        Raises:
            Unauthenticated: when the token is invalid, or the cookie's tokens can't be renewed.
        """
        shown: CookieTokens | None = getattr(request.state, "cookie_tokens", None)
        if shown is not None:
            renewed = await run_in_threadpool(_renew, request, shown)
            if isinstance(renewed, Problem):
                raise renewed
            request.state.renewed_cookie = renewed.cookie
            token = renewed.access
        return await self.admit(request, token)


class TopicGuard(ProjectGuard):
    """A guard for one topic of a stream.

    The project or task is ``named`` by the topic, not by the request's path.
    """

    def __init__(
        self, permission: Permission, named: UUID, resource: ResourcePath | None = None
    ) -> None:
        super().__init__(permission, resource)
        self.named = named

    def parameters(self, request: Request) -> dict[str, UUID]:  # noqa: ARG002
        """Return the uuid of the topic's project or task as the SQL statement's parameter."""
        return {"named": self.named}


def _renew(request: Request, shown: CookieTokens) -> service.RenewedTokens | Problem:
    # The refusal is returned from the transaction, so that the transaction commits its record.
    with transaction() as session:
        return service.renew_browser_session(session, get_settings(), shown, actor_of(request))
