"""Choosing the deployment for a chat request among those that the caller may use."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.server.core.audit import Actor
from aiplatform.server.openai.errors import (
    AmbiguousModel,
    BadChatRequest,
    ModelNotFound,
    ModelNotReady,
    ModelOfOtherProject,
)
from aiplatform.server.openai.queries import Credential
from aiplatform.server.openai.rules import BASE_SUFFIX, ModelName, Variant, parse_model

CHAT_PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment that is ready, with its address and the token that it accepts."""

    deployment_id: int
    deployment_uuid: UUID
    project_uuid: UUID
    endpoint: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A chat request from ``actor`` to ``target``. ``body`` is the JSON sent by the client."""

    actor: Actor
    credential: Credential
    target: Target
    model: ModelName
    body: dict[str, Any] = field(repr=False)

    @property
    def streams(self) -> bool:
        """True if the answer is a stream."""
        return bool(self.body.get("stream"))

    def request(self) -> bytes:
        """Return the HTTP request to the model server.

        It contains the public name of the model, which the model server repeats in its answer. The
        answer can therefore be passed on unchanged.
        """
        body = orjson.dumps({**self.body, "model": self.model.variant.value})
        head = (
            f"POST {CHAT_PATH} HTTP/1.1\r\n"
            "Host: engine\r\n"
            f"Authorization: Bearer {self.target.token}\r\n"
            # A project's name may contain any character, including line ends.
            f"X-Model-Name: {quote(self.model.text, safe='/:')}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def read_body(raw: bytes) -> tuple[dict[str, Any], ModelName]:
    """Parse a request body; return it with the model name. The model server checks other fields.

    Raises:
        BadChatRequest: when the body is not a JSON object, or a field that is read here is invalid.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadChatRequest(
            reason=f"The body is not valid JSON: {error}.",
            reason_zh=f"请求体不是有效的 JSON：{error}。",
        ) from error
    if not isinstance(body, dict):
        raise BadChatRequest(
            reason="The body must be a JSON object.", reason_zh="请求体必须是 JSON 对象。"
        )
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadChatRequest(
            reason="Name the deployment in 'model'.",
            reason_zh="请在 model 字段中给出部署名称。",
            param="model",
        )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadChatRequest(
            reason="'messages' must be a list with at least one message.",
            reason_zh="messages 必须是至少含一条消息的列表。",
            param="messages",
        )
    if not isinstance(body.get("stream"), bool | None):
        raise BadChatRequest(
            reason="'stream' must be true or false.",
            reason_zh="stream 只能是 true 或 false。",
            param="stream",
        )
    return body, parse_model(model)


def choose_target(rows: Sequence[Any], model: ModelName) -> Target:
    """Return the target of a model name among the ``rows`` that ``queries`` found for it.

    A name without a project means a deployment of the API key's project or of the caller's own
    projects, never one of another project. The choice never depends on which deployments are ready
    or exist: otherwise a request could reach another project's model because the caller's own is
    restarting or was deleted. If several deployments of a project serve the named version, the
    oldest ready one answers. A deployment that follows the alias also answers while it is being
    updated to the version.

    Raises:
        ModelNotFound: when no deployment has this name, or it has no base model and ``:base`` was
            requested.
        ModelOfOtherProject: when the name has no project, and only other users' projects have a
            deployment with this name.
        AmbiguousModel: when several deployments have this name.
        ModelNotReady: when the deployment is not ready.
    """
    found = [row for row in rows if row.deployment_id is not None]
    # A deployment may have another deployment's uuid as its name. The uuid takes precedence.
    by_uuid = [row for row in found if model.project is None and row.deployment_uuid == model.uuid]
    if by_uuid:
        found = by_uuid
    elif model.project is not None:
        found = [row for row in found if row.project_name == model.project]
        found = [row for row in found if row.is_own] or found
    elif foreign := [row for row in found if not row.is_own]:
        found = [row for row in found if row.is_own]
        if not found:
            names = ", ".join(f"{row.project_name}/{row.deployment_name}" for row in foreign)
            raise ModelOfOtherProject(model=model.text, names=names, param="model")
    if not found:
        raise ModelNotFound(model=model.text, param="model")
    if model.version is not None and len({row.project_uuid for row in found}) == 1:
        # The rows are sorted by preference.
        ready = [row for row in found if row.deployment_status == DeploymentStatus.READY]
        found = (ready or found)[:1]
    if len(found) > 1:
        uuids = [str(row.deployment_uuid) for row in found]
        raise AmbiguousModel(model=model.deployment, uuids=", ".join(uuids), param="model")
    row = found[0]
    if model.variant is Variant.BASE and row.base_model_id is None:
        raise ModelNotFound(model=model.text, param="model")
    if row.deployment_status != DeploymentStatus.READY or row.endpoint is None:
        raise ModelNotReady(model=model.deployment, state=row.deployment_status)
    return Target(
        deployment_id=row.deployment_id,
        deployment_uuid=row.deployment_uuid,
        project_uuid=row.project_uuid,
        endpoint=row.endpoint,
        token=row.endpoint_token or "",
    )


@dataclass(frozen=True, slots=True)
class CallableModel:
    """A model that can be used now. The first of its ``names`` is shown in the list of models."""

    names: tuple[str, ...]
    created: int
    owner: str


def callable_models(rows: Sequence[Any]) -> list[CallableModel]:
    """Return the models in ``rows``, as selected by ``queries.ready_deployments``.

    These are each deployment's model and its base model, if it has one. A deployment of the
    caller's own projects is shown by its name, others as ``project/name``. If a name is not unique,
    ``project/name`` is used instead, or else the uuid.
    """
    full = {row.deployment_id: f"{row.project_name}/{row.deployment_name}" for row in rows}
    bare_uses = Counter(row.deployment_name for row in rows if row.is_own)
    own_uses = Counter(full[row.deployment_id] for row in rows if row.is_own)
    full_uses = Counter(full.values())
    models = []
    for row in rows:
        name = full[row.deployment_id]
        names: tuple[str, ...] = (str(row.deployment_uuid),)
        # As in :func:`choose_target`: if several have the same name, the caller's own comes first.
        if (own_uses[name] if row.is_own else full_uses[name]) == 1:
            names = (name, *names)
        if row.is_own and bare_uses[row.deployment_name] == 1:
            names = (row.deployment_name, *names)
        created = int(row.deployed_at.timestamp())
        models.append(CallableModel(names, created, row.project_name))
        if row.base_model_id is not None:
            based = tuple(name + BASE_SUFFIX for name in names)
            models.append(CallableModel(based, created, row.project_name))
    return models
