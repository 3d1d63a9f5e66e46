"""API keys: what programs show in a person's stead."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform.client.base import Group, Resource, UserRef
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.transport import segment


class Key(Resource):
    """An API key. ``prefix`` is all that is kept readable of it."""

    uuid: UUID
    name: str
    prefix: str
    scopes: list[str]
    project: UUID | None = None
    user: UserRef
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def revoke(self) -> None:
        """Have requests with it refused from now on."""
        self.client.keys.revoke(self, user=self.user.username)


class NewKey(Key):
    """A key that was just made, with itself: it is shown this once."""

    key: str = Field(repr=False)


class Keys(Group):
    """``client.keys``: one's own, and with ``user`` somebody else's, for administrators."""

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        project: ProjectLike | None = None,
        days: int | None = None,
    ) -> NewKey:
        """Make a key that does what you may do at that moment, within ``scopes``.

        Args:
            name: your name for it.
            scopes: permissions such as ``datasets:read``, ``datasets:*``, or ``*``.
            project: the one project that it reaches; None for all that you do.
            days: after which it expires; None for never.
        """
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if project is not None:
            body["project"] = str(self._client.projects.resolve(project))
        if days is not None:
            body["expires_in_days"] = days
        return self._make(NewKey, self._http.post("users/me/keys", body))

    def list(
        self, *, user: str | None = None, revoked: bool | None = None, limit: int | None = None
    ) -> Pages[Key]:
        """The keys of an account, newest first; with ``revoked`` those too."""
        return self._pages(Key, f"users/{segment(user or 'me')}/keys", revoked=revoked, limit=limit)

    def revoke(self, key: Key | UUID | str, *, user: str | None = None) -> None:
        """Have requests with it refused from now on."""
        uuid = key.uuid if isinstance(key, Key) else key
        if user is not None and user == self._client.users.me().username:
            user = None  # one's own need no right to manage accounts
        self._http.request("DELETE", f"users/{segment(user or 'me')}/keys/{segment(uuid)}")
