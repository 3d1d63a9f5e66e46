"""Errors about secrets, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class NoSuchSecret(Invalid):
    """A task that names a secret that neither its author nor its project has."""

    code = "secret.unknown"


class TooManySecrets(Conflict):
    """A secret beyond the maximum number for a user or project."""

    code = "secret.too_many"
