"""Guards of the audit trail."""

from typing import Annotated

from fastapi import Depends

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.access import PlatformGuard, Principal

ReadAudit = Annotated[Principal, Depends(PlatformGuard(Permission.AUDIT_READ))]
"""A principal who may read the audit entries of everyone."""
