"""Roles, and the permissions that roles consist of."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.pages import Pages
from aiplatform.client.transport import segment
from aiplatform.protocol.shapes.identity import PermissionOut, RoleOut


class PermissionInfo(Resource, PermissionOut):
    """A permission; ``reaches_projects`` is true if roles within projects may contain it."""


class Role(Resource, RoleOut):
    """A named set of permissions."""

    def update(self, **changes: Any) -> "Role":
        """Change description or permissions."""
        return Roles(self._client).update(self, **changes)

    def delete(self) -> None:
        """Delete the role; refused while the role is in use."""
        Roles(self._client).delete(self)


RoleLike = Role | UUID | str


def _path(role: RoleLike) -> str:
    return f"roles/{segment(role.uuid if isinstance(role, Role) else role)}"


class Roles(Group):
    """The operations on roles (``client.roles``)."""

    def permissions(self) -> Sequence[PermissionInfo]:
        """Return all permissions that a role or an API key can have."""
        items = self._http.get("permissions")["items"]
        return self._make_all(PermissionInfo, items)

    def create(
        self, name: str, permissions: Sequence[str], *, description: str | None = None
    ) -> Role:
        """Create a role; it can contain only permissions that you have."""
        body: dict[str, Any] = {"name": name, "permissions": list(permissions)}
        if description is not None:
            body["description"] = description
        return self._make(Role, self._http.post("roles", body))

    def get(self, role: RoleLike) -> Role:
        """Read a role, by name or uuid."""
        return self._get(Role, _path(role))

    def update(self, role: RoleLike, **changes: Any) -> Role:
        """Change description or permissions of a role."""
        return self._patch(Role, _path(role), role, changes)

    def delete(self, role: RoleLike) -> None:
        """Delete a role that is not in use."""
        self._http.request("DELETE", _path(role))

    def list(self, *, limit: int | None = None) -> Pages[Role]:
        """List all roles, system roles first."""
        return self._pages(Role, "roles", limit=limit)
