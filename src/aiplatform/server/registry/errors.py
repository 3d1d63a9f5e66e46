"""Errors about models, as clients receive them."""

from aiplatform.server.core.errors import Conflict
from aiplatform.server.identity.errors import PermissionDenied


class SharedModelsProtected(PermissionDenied):
    """The user is not an administrator and so can't change shared models."""

    code = "model.shared_protected"


class VersionTaken(Conflict):
    """The model version already exists. Versions are never replaced."""

    code = "model.version_taken"


class ModelNotReady(Conflict):
    """The files of the model are still being imported, or their import failed."""

    code = "model.not_ready"


class ModelWritesNoText(Conflict):
    """The model outputs vectors or scores, not text, so it can't be deployed or evaluated."""

    code = "model.writes_no_text"


class ModelNotTunable(Conflict):
    """The training method can't tune this kind of model."""

    code = "model.not_tunable"


class ModelClosed(Conflict):
    """The model accepts no uploads: it is ready, being imported, or was not uploaded."""

    code = "model.closed"


class NoFiles(Conflict):
    """The upload to import contains no files."""

    code = "model.no_files"


class TooManyFiles(Conflict):
    """The model has more files than the limit, which no ordinary model reaches."""

    code = "model.too_many_files"


class ModelInUse(Conflict):
    """The model can't be deleted, because unfinished tasks or tuned models still need it."""

    code = "model.in_use"


class ProjectGone(Conflict):
    """The original project of the shared model was deleted.

    The import of a shared model runs on behalf of the project in which it was created.
    """

    code = "model.project_gone"


class ModelHasAliases(Conflict):
    """The model can't be deleted, because aliases point to it."""

    code = "model.has_aliases"


class AliasMoved(Conflict):
    """The alias does not point to the version that the request expects."""

    code = "model.alias_moved"


class AliasIsVersion(Conflict):
    """A version of the model has this name, so a reference would be ambiguous."""

    code = "model.alias_is_version"


class VersionIsAlias(Conflict):
    """An alias of the model has this name, so a reference would be ambiguous."""

    code = "model.version_is_alias"


class NotAnAlias(Conflict):
    """A deployment can only follow an alias, but the reference is not an alias."""

    code = "model.not_an_alias"


class NothingToUndo(Conflict):
    """No earlier version is recorded for the alias."""

    code = "model.alias_nothing_to_undo"


class FormerVersionGone(Conflict):
    """The version to which the alias previously pointed was deleted."""

    code = "model.alias_version_gone"


class TooManyAliases(Conflict):
    """The models with this name have as many aliases as allowed."""

    code = "model.too_many_aliases"
