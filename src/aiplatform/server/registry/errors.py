"""Errors about models, as clients receive them."""

from aiplatform.server.core.errors import Conflict
from aiplatform.server.identity.errors import PermissionDenied


class SharedModelsProtected(PermissionDenied):
    """A change to a shared model by a user who is not an administrator."""

    code = "model.shared_protected"


class VersionTaken(Conflict):
    """A model version that already exists. Versions are never replaced."""

    code = "model.version_taken"


class ModelNotReady(Conflict):
    """A model whose files are still being imported, or whose import failed."""

    code = "model.not_ready"


class ModelClosed(Conflict):
    """A model that accepts no uploads: it is ready, being imported, or was not uploaded."""

    code = "model.closed"


class NoFiles(Conflict):
    """An import of an upload that contains no files."""

    code = "model.no_files"


class TooManyFiles(Conflict):
    """A model with more files than the limit, which no ordinary model reaches."""

    code = "model.too_many_files"


class ModelInUse(Conflict):
    """An attempt to delete a model that unfinished tasks or tuned models still need."""

    code = "model.in_use"


class ProjectGone(Conflict):
    """A shared model whose original project was deleted.

    The import of a shared model runs on behalf of the project in which it was created.
    """

    code = "model.project_gone"
