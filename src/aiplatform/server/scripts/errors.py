"""Errors about code bundles and scripts, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ScriptsNotAllowed(Conflict):
    """The platform's administrator has not allowed users to run scripts."""

    code = "script.not_allowed"


class InvalidBundle(Invalid):
    """An archive that is not safe to unpack."""

    code = "script.invalid_bundle"


class BundleInUse(Conflict):
    """The bundle can't be deleted, because an unfinished task needs it."""

    code = "script.bundle_in_use"
