"""Secrets: values that tasks use by name, and that can't be read back."""

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.enums import SecretKind
from aiplatform.protocol.shapes.identity import SecretOut


class Secret(Resource, SecretOut):
    """A stored secret, without its value."""


class Secrets(Group):
    """The operations on secrets (``client.secrets``): your own, or those of ``project``."""

    def set(
        self,
        name: str,
        value: str,
        *,
        kind: SecretKind | str = SecretKind.GENERIC,
        project: ProjectLike | None = None,
    ) -> Secret:
        """Store a secret under a name, replacing an existing one."""
        body = {"value": value, "kind": str(kind)}
        path = f"{self._place(project)}/{segment(name)}"
        return self._make(Secret, decoded(self._http.request("PUT", path, json=body)))

    def remove(self, name: str, *, project: ProjectLike | None = None) -> None:
        """Delete a secret. Waiting tasks that use it will fail."""
        self._http.request("DELETE", f"{self._place(project)}/{segment(name)}")

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Secret]:
        """List the secrets, without their values."""
        return self._pages(Secret, self._place(project), limit=limit)

    def _place(self, project: ProjectLike | None) -> str:
        if project is None:
            return "users/me/secrets"
        return f"{Projects(self._client).path(project)}/secrets"
