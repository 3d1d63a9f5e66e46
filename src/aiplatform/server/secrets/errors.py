"""Errors about secrets, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class NoSuchSecret(Invalid):
    """The task names a secret that neither its author nor its project has."""

    code = "secret.unknown"


class TooManySecrets(Conflict):
    """The user or project already has the maximum number of secrets."""

    code = "secret.too_many"
