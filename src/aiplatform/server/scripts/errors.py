"""Errors about code bundles and scripts, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ScriptsNotAllowed(Conflict):
    """A script on a platform whose administrator has not allowed users to run commands."""

    code = "script.not_allowed"


class InvalidBundle(Invalid):
    """An archive that is not safe to unpack."""

    code = "script.invalid_bundle"


class BundleInUse(Conflict):
    """An attempt to delete a bundle that an unfinished task needs."""

    code = "script.bundle_in_use"
