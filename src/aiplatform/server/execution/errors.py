"""Errors of artifacts. The API answers them as problems."""

from aiplatform.server.core.errors import Conflict


class TooManyArtifacts(Conflict):
    """An artifact beyond the number of files that a run may have."""

    code = "run.too_many_artifacts"
