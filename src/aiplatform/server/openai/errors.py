"""Errors of the OpenAI-compatible API."""

from aiplatform.server.core.errors import NotFound, Problem


class BadChatRequest(Problem):
    """The request is malformed. OpenAI responds with 400 where the rest of this API uses 422."""

    status = 400
    code = "chat.invalid_request"


class AmbiguousModel(Problem):
    """The model name matches deployments in several projects.

    Either all of them are the caller's own projects, or all of the projects have the same name.
    """

    status = 400
    code = "chat.ambiguous_model"


class ModelOfOtherProject(NotFound):
    """The model name has no project, and matches only deployments in other users' projects.

    Such a name means a deployment of the caller's own projects; others must be named as
    ``project/name``. Otherwise, members of a shared project could create a deployment that answers
    in place of the caller's.
    """

    code = "chat.model_of_other_project"


class ModelNotFound(NotFound):
    """The model does not exist, or the caller may not see it."""

    code = "chat.model_not_found"


class NoSuchAddress(NotFound):
    """The platform does not offer this route of OpenAI's API."""

    code = "chat.unknown_url"


class ModelNotReady(Problem):
    """The deployment exists, but does not currently respond."""

    status = 503
    code = "deployment.not_ready"
    headers = {"Retry-After": "2"}


class DeploymentStopped(Problem):
    """The deployment was stopped while it was answering."""

    status = 503
    code = "deployment.stopped"


class ModelServerUnavailable(Problem):
    """The model server can't be reached, or stopped while it was answering."""

    status = 503
    code = "deployment.server_unavailable"
    headers = {"Retry-After": "2"}


class ModelServerTimeout(Problem):
    """The model server keeps its connection open but sends nothing."""

    status = 504
    code = "deployment.server_timeout"


class AccessRevoked(Problem):
    """A session, account or permission ended before the answer was complete."""

    status = 401
    code = "auth.access_revoked"
    headers = {"WWW-Authenticate": "Bearer"}
