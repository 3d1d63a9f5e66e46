"""Guards for the OpenAI-compatible API.

The bearer token is one of the platform's: an access token or an API key. One SQL statement finds
the caller and the deployments that they may use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.access import BearerToken, Principal, principal_from
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.openai.errors import BadChatRequest
from aiplatform.server.openai.queries import Credential
from aiplatform.server.openai.rules import parse_model
from aiplatform.server.openai.service import ChatCall, ChatService, choose_target, read_body


class ChatGuard:
    """A guard that admits callers who may use the model named in the request body."""

    permission = Permission.INFERENCE_READ

    async def __call__(self, request: Request, token: BearerToken) -> ChatCall:
        """Return the chat call of a request, with the deployment that will answer it.

        Raises:
            Unauthenticated: the token is missing or invalid. Errors in the body are reported later.
            PasswordChangeRequired: the account must replace its initial password first.
            BadChatRequest: see :func:`read_body`.
            ModelNotFound, ModelOfOtherProject, AmbiguousModel, ModelNotReady: see
                :func:`choose_target`.
        """
        if token is None:
            raise Unauthenticated
        fault: BadChatRequest | None = None
        body: dict[str, Any] = {}
        model = parse_model("")
        try:
            body, model = read_body(await request.body())
        except BadChatRequest as error:
            fault = error

        chats: ChatService = request.state.chats
        rows = await chats.lookups.find(token, model)
        principal = await _principal(request, rows)
        if fault is not None:
            raise fault
        return ChatCall(
            actor=principal.actor,
            credential=Credential(
                principal.session_id, 0 if principal.key is None else principal.key.key_id
            ),
            target=choose_target(rows, model),
            model=model,
            body=body,
        )


@dataclass(frozen=True, slots=True)
class UsableModels:
    """A principal and the rows of the deployments that they may use."""

    principal: Principal
    rows: Sequence[Any]


class ModelsGuard:
    """A guard that admits every authenticated caller and looks up the models that they may use."""

    permission = Permission.INFERENCE_READ

    async def __call__(self, request: Request, token: BearerToken) -> UsableModels:
        """Return the principal and the models that they may use.

        Raises:
            Unauthenticated: the token is missing or invalid.
            PasswordChangeRequired: the account must replace its initial password first.
        """
        if token is None:
            raise Unauthenticated
        chats: ChatService = request.state.chats
        rows = await chats.lookups.list_ready(token)
        principal = await _principal(request, rows)
        return UsableModels(principal, [row for row in rows if row.deployment_id is not None])


async def _principal(request: Request, rows: Sequence[Any]) -> Principal:
    row: Any = rows[0] if rows else None
    principal = principal_from(row, request, allow_first_password=False)
    if principal.key is not None and row.key_use_unrecorded:
        chats: ChatService = request.state.chats
        await chats.lookups.record_key_use(principal.key.key_id)
    return principal


CHAT = ChatGuard()
MODELS = ModelsGuard()
