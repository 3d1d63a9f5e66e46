"""Guards for the audit trail."""

from typing import Annotated

from fastapi import Depends

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.access import PlatformGuard, Principal

ReadAudit = Annotated[Principal, Depends(PlatformGuard(Permission.AUDIT_READ))]
"""Dependency that returns the principal, who must have the permission to read the audit trail."""
