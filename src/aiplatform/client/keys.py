"""API keys: tokens for programs that act for a user."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transport import segment
from aiplatform.client.users import Users
from aiplatform.protocol.shapes.identity import KeyOut, NewKeyOut


class Key(Resource, KeyOut):
    """An API key; only the ``prefix`` of its secret text can be read."""

    def revoke(self) -> None:
        """Revoke the key, so that requests with it are refused."""
        Keys(self._client).revoke(self, user=self.user.username)


class NewKey(Key, NewKeyOut):
    """A new key with its secret text, which is returned only when the key is created."""


class Keys(Group):
    """The operations on API keys (``client.keys``).

    With the argument ``user``, administrators work with the keys of another user.
    """

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        project: ProjectLike | None = None,
        days: int | None = None,
    ) -> NewKey:
        """Create a key that may do what you may do, limited to ``scopes``.

        Args:
            name: a name for the key.
            scopes: permissions such as ``datasets:read``, ``datasets:*``, or ``*``.
            project: limits the key to one project; None for all of yours.
            days: days until the key expires; None for never.
        """
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if project is not None:
            body["project"] = str(Projects(self._client).resolve(project))
        if days is not None:
            body["expires_in_days"] = days
        return self._make(NewKey, self._http.post("users/me/keys", body))

    def list(
        self, *, user: str | None = None, revoked: bool | None = None, limit: int | None = None
    ) -> Pages[Key]:
        """List the keys of an account, newest first; with ``revoked``, also the revoked ones."""
        return self._pages(Key, f"users/{segment(user or 'me')}/keys", revoked=revoked, limit=limit)

    def revoke(self, key: Key | UUID | str, *, user: str | None = None) -> None:
        """Revoke a key, so that requests with it are refused."""
        uuid = key.uuid if isinstance(key, Key) else key
        if user is not None and user == Users(self._client).me().username:
            user = None  # your own keys require no permission to manage accounts
        self._http.request("DELETE", f"users/{segment(user or 'me')}/keys/{segment(uuid)}")
