"""Errors about the audit trail, as clients receive them."""

from aiplatform.server.core.errors import Conflict


class VerificationRunning(Conflict):
    """A verification of the audit trail is already running."""

    code = "audit.verification_running"
