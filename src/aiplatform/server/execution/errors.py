"""Errors about artifacts, which the API returns as problem documents."""

from aiplatform.server.core.errors import Conflict


class TooManyArtifacts(Conflict):
    """The artifact would exceed the number of files allowed for a run."""

    code = "run.too_many_artifacts"
