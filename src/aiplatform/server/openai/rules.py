"""Pure parts of the façade: how a model is named, and what an error is called."""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from aiplatform.protocol.encoding import clean_text

BASE_SUFFIX = ":base"
RECHECK_SECONDS = 1.0
"""How often a running answer's right to go on is looked at."""

UNCHECKED_SECONDS = 5.0
"""How long answers go on while that look fails, for want of the database."""

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 600.0
"""How long a model server may say nothing: as long as OpenAI's own clients wait."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Variant(StrEnum):
    """Which weights answer; also the name that a model server knows them by."""

    MODEL = "model"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class ModelName:
    """What a request calls its model: a deployment's name or uuid, perhaps with ``:base``.

    ``project`` is the name before the last slash; a bare name is never one of a foreign project.
    """

    text: str
    deployment: str
    variant: Variant
    project: str | None = None

    @property
    def uuid(self) -> UUID | None:
        """The uuid, when it is written as one."""
        return UUID(self.deployment) if _UUID.fullmatch(self.deployment) else None


def parse_model(text: str) -> ModelName:
    """Take a model's name apart. Names of deployments hold no colon and no slash; names of projects
    may.

    What PostgreSQL can't store is no deployment's name, and must not reach it to be refused there.
    """
    text = clean_text(text)
    is_base = text.endswith(BASE_SUFFIX)
    project, slash, deployment = text.removesuffix(BASE_SUFFIX).rpartition("/")
    variant = Variant.BASE if is_base else Variant.MODEL
    return ModelName(text, deployment, variant, project if slash else None)


def error_type(status: int) -> str:
    """The ``type`` of an OpenAI error with this status."""
    match status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case _ if status >= 500:
            return "server_error"
    return "invalid_request_error"
