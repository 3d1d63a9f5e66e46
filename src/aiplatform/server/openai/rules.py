"""Rules for the OpenAI-compatible API: model names, error types, and time limits."""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from aiplatform.protocol.encoding import clean_text

BASE_SUFFIX = ":base"
RECHECK_SECONDS = 1.0
"""Seconds between two checks that the callers of answers in progress still have access."""

UNCHECKED_SECONDS = 5.0
"""Seconds for which answers continue if the database can't be reached for the access check."""

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 600.0
"""Seconds for which a model server may send nothing; the same limit as in OpenAI's clients."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Variant(StrEnum):
    """The weights that answer a request: the model, or its base model without the adapter.

    Model servers use the same names.
    """

    MODEL = "model"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class ModelName:
    """The model name in a request: a deployment's name or uuid, perhaps with ``:base``.

    In place of a deployment it can name a version that is deployed: ``name@version`` or
    ``name@alias``.

    ``project`` is the part before the last slash. A name without a project never means a deployment
    of another user's project.
    """

    text: str
    deployment: str
    variant: Variant
    project: str | None = None

    @property
    def uuid(self) -> UUID | None:
        """The uuid, if the deployment is identified by uuid."""
        return UUID(self.deployment) if _UUID.fullmatch(self.deployment) else None

    @property
    def version(self) -> tuple[str, str] | None:
        """The name of a model and its version or alias, if these are given."""
        name, at, label = self.deployment.partition("@")
        return (name, label) if at else None


def parse_model(text: str) -> ModelName:
    """Parse a model name.

    Names of deployments contain no colon, slash or ``@``; names of projects may. Characters that
    PostgreSQL can't store are replaced, because it would reject the query.
    """
    text = clean_text(text)
    is_base = text.endswith(BASE_SUFFIX)
    project, slash, deployment = text.removesuffix(BASE_SUFFIX).rpartition("/")
    variant = Variant.BASE if is_base else Variant.MODEL
    return ModelName(text, deployment, variant, project if slash else None)


def error_type(status: int) -> str:
    """Return the ``type`` of an OpenAI error with this status."""
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
