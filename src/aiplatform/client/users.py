"""User accounts: ``client.users``."""

from typing import Any
from uuid import UUID

from aiplatform.client.accounts import Link
from aiplatform.client.base import Group, Resource
from aiplatform.client.pages import Pages
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.shapes.identity import UserOut


class User(Resource, UserOut):
    """A user account."""

    permissions: list[str] = []
    must_change_password: bool | None = None
    totp_enabled: bool | None = None

    def update(self, **changes: Any) -> "User":
        """Change username, email or role."""
        return Users(self._client).update(self, **changes)

    def deactivate(self) -> "User":
        """Deactivate the account, effective at once."""
        return Users(self._client).deactivate(self)

    def activate(self) -> "User":
        """Activate the account again."""
        return Users(self._client).activate(self)

    def delete(self, *, transfer_to: "User | UUID | str | None" = None) -> None:
        """Delete the account; ``transfer_to`` becomes the owner of its projects."""
        Users(self._client).delete(self, transfer_to=transfer_to)


class Users(Group):
    """The operations on user accounts (``client.users``)."""

    def me(self) -> User:
        """Return the account that is logged in."""
        return self._get(User, "users/me")

    def create(
        self,
        username: str,
        email: str,
        password: str,
        *,
        role: str | None = None,
        must_change_password: bool = False,
    ) -> User:
        """Create an account; with ``must_change_password``, the password must be changed first."""
        body: dict[str, Any] = {"username": username, "email": email, "password": password}
        if role is not None:
            body["role"] = role
        if must_change_password:
            body["must_change_password"] = True
        return self._make(User, self._http.post("users", body))

    def get(self, user: "UserLike") -> User:
        """Read an account, by uuid or username."""
        return self._get(User, _path(user))

    def update(self, user: "UserLike", **changes: Any) -> User:
        """Change username, email or role of an account."""
        return self._patch(User, _path(user), user, changes)

    def deactivate(self, user: "UserLike") -> User:
        """Deactivate an account: its requests are rejected at once, and its open streams end."""
        return self._make(User, self._http.post(f"{_path(user)}/deactivate"))

    def activate(self, user: "UserLike") -> User:
        """Activate an account again; its former sessions remain ended."""
        return self._make(User, self._http.post(f"{_path(user)}/activate"))

    def delete(self, user: "UserLike", *, transfer_to: "UserLike | None" = None) -> None:
        """Delete an account. Its work is kept; ``transfer_to`` will own its projects."""
        params = {} if transfer_to is None else {"transfer_to": _key(transfer_to)}
        self._http.request("DELETE", _path(user), params=params)

    def reset_password(self, user: "UserLike") -> Link:
        """Create a single-use link for the user to set a new password."""
        return self._make(Link, self._http.post(f"{_path(user)}/password-reset"))

    def end_sessions(self, user: "UserLike") -> int:
        """End all sessions of an account, and return how many ended."""
        answer = decoded(self._http.request("DELETE", f"{_path(user)}/sessions"))
        return int(answer["ended"])

    def reset_second_factor(self, user: "UserLike") -> None:
        """Remove the second factor of a user who lost both the app and the recovery codes."""
        self._http.request("DELETE", f"{_path(user)}/totp")

    def list(
        self,
        search: str | None = None,
        *,
        role: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
    ) -> Pages[User]:
        """List accounts, newest first; ``search`` is part of a username or email address."""
        return self._pages(User, "users", q=search, role=role, active=active, limit=limit)


UserLike = User | UUID | str
"""A user, their uuid, or their username."""


def _key(user: UserLike) -> str:
    return str(user.uuid if isinstance(user, User) else user)


def _path(user: UserLike) -> str:
    return f"users/{segment(_key(user))}"
