"""Accounts: your own, those of other users, their roles, invitations and API keys."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.shapes.identity import (
    EnrolmentOut,
    InvitationOut,
    KeyOut,
    LinkOut,
    NewKeyOut,
    PermissionOut,
    RoleOut,
    SessionOut,
    TotpOut,
    UserOut,
)


class LoginSession(Resource, SessionOut):
    """A session in which you are logged in."""

    def end(self) -> None:
        """End this session."""
        Account(self._client).end_session(self)


class SecondFactor(Resource, TotpOut):
    """The state of your account's second factor (a code from an authenticator app)."""


class Enrolment(Resource, EnrolmentOut):
    """A new secret for an authenticator app; ``uri`` is the content of the QR code to scan."""


class Link(Resource, LinkOut):
    """A single-use link, returned only when it is created."""


class Invitation(Resource, InvitationOut):
    """An invitation with a link that creates one account.

    ``token``, ``link`` and ``sent`` are set only on the object that :meth:`Invitations.create`
    returns. ``sent`` is true if the platform is sending an email with the link.
    """

    token: str | None = Field(None, repr=False)
    link: str | None = Field(None, repr=False)
    sent: bool | None = None

    def revoke(self) -> None:
        """Revoke the invitation, so that its link no longer works."""
        Invitations(self._client).revoke(self)


class Invitations(Group):
    """The operations on invitations (``client.invitations``)."""

    def create(
        self,
        email: str,
        *,
        role: str | None = None,
        project: Any = None,
        project_role: str | None = None,
        days: int | None = None,
    ) -> Invitation:
        """Invite a person to create an account, optionally with a global role or a membership.

        Args:
            email: the email address of the person.
            role: the global role of the new account; by default ``user``.
            project: the project to invite to; requires ``project_role``.
            project_role: the role in the project; requires ``project``.
            days: days until the link expires, from 1 to 90; by default the platform's setting.
        """
        body = {
            "email": email,
            "role": role,
            "project": None if project is None else str(Projects(self._client).resolve(project)),
            "project_role": project_role,
            "days": days,
        }
        given = {key: value for key, value in body.items() if value is not None}
        return self._make(Invitation, self._http.post("invitations", given))

    def revoke(self, invitation: Invitation | UUID | str) -> None:
        """Revoke an invitation, so that its link no longer works."""
        key = invitation.uuid if isinstance(invitation, Invitation) else invitation
        self._http.request("DELETE", f"invitations/{segment(key)}")

    def accept(self, token: str, username: str, password: str) -> None:
        """Create the account for an invitation; ``token`` is the part of its link after ``#``."""
        body = {"token": token, "username": username, "password": password}
        self._http.request("POST", "auth/accept-invitation", json=body, authenticated=False)

    def list(self, *, only_open: bool | None = None, limit: int | None = None) -> Pages[Invitation]:
        """List invitations, newest first; with ``only_open``, only those that are still open."""
        return self._pages(Invitation, "invitations", only_open=only_open, limit=limit)


class Account(Group):
    """The operations on your own account (``client.account``)."""

    def sessions(self, *, limit: int | None = None) -> Pages[LoginSession]:
        """List your sessions, newest first."""
        return self._pages(LoginSession, "users/me/sessions", limit=limit)

    def end_session(self, session: LoginSession | UUID | str) -> None:
        """End one of your sessions."""
        key = session.uuid if isinstance(session, LoginSession) else session
        self._http.request("DELETE", f"users/me/sessions/{segment(key)}")

    def end_other_sessions(self) -> int:
        """End all of your sessions except this one, and return how many ended."""
        answer = decoded(self._http.request("DELETE", "users/me/sessions"))
        return int(answer["ended"])

    def second_factor(self) -> SecondFactor:
        """Return the state of your second factor."""
        return self._get(SecondFactor, "users/me/totp")

    def enrol_second_factor(self, password: str) -> Enrolment:
        """Request a secret for an authenticator app.

        The second factor is enabled only by :meth:`confirm_second_factor`.
        """
        return self._make(Enrolment, self._http.post("users/me/totp", {"password": password}))

    def confirm_second_factor(self, code: str) -> list[str]:
        """Enable the second factor, and return the recovery codes, which can't be read again."""
        return _codes(self._http.post("users/me/totp/confirm", {"code": code}))

    def renew_recovery_codes(
        self, *, password: str | None = None, code: str | None = None
    ) -> list[str]:
        """Replace the recovery codes, and return the new ones.

        Proof that the account is yours is required: the password, a code from the authenticator
        app, or a recovery code.
        """
        return _codes(self._http.post("users/me/totp/recovery-codes", _proof(password, code)))

    def disable_second_factor(
        self, *, password: str | None = None, code: str | None = None
    ) -> None:
        """Disable the second factor.

        Proof that the account is yours is required: the password, a code from the authenticator
        app, or a recovery code.
        """
        self._http.post("users/me/totp/disable", _proof(password, code))

    def change_email(self, email: str, password: str) -> None:
        """Replace the email address of your account."""
        body = {"email": email, "password": password}
        self._http.request("PUT", "users/me/email", json=body)

    def register(self, username: str, email: str, password: str) -> None:
        """Create an account for yourself, if the platform allows it."""
        body = {"username": username, "email": email, "password": password}
        self._http.request("POST", "auth/register", json=body, authenticated=False)

    def forgot_password(self, email: str) -> None:
        """Request an email with a single-use link that sets a new password.

        The response does not reveal whether an account with this address exists.
        """
        self._http.request(
            "POST", "auth/forgot-password", json={"email": email}, authenticated=False
        )

    def reset_password(self, token: str, new_password: str) -> None:
        """Set a new password with the token from a password reset link.

        All sessions of the account end.
        """
        body = {"token": token, "new_password": new_password}
        self._http.request("POST", "auth/reset-password", json=body, authenticated=False)


def _codes(answer: Any) -> list[str]:
    return [str(code) for code in answer["recovery_codes"]]


def _proof(password: str | None, code: str | None) -> dict[str, str]:
    given = {"password": password, "code": code}
    return {key: value for key, value in given.items() if value is not None}


class User(Resource, UserOut):
    """A user account."""

    permissions: list[str] = []
    must_change_password: bool | None = None
    totp_enabled: bool | None = None

    def update(self, **changes: Any) -> "User":
        """Change the username, email or role."""
        return Users(self._client).update(self, **changes)

    def deactivate(self) -> "User":
        """Deactivate the account, effective immediately."""
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
        return self._get(User, _user_path(user))

    def update(self, user: "UserLike", **changes: Any) -> User:
        """Change the username, email or role of an account."""
        return self._patch(User, _user_path(user), user, changes)

    def deactivate(self, user: "UserLike") -> User:
        """Deactivate an account: its requests are rejected immediately, and its streams end."""
        return self._make(User, self._http.post(f"{_user_path(user)}/deactivate"))

    def activate(self, user: "UserLike") -> User:
        """Activate an account again; its previous sessions are not restored."""
        return self._make(User, self._http.post(f"{_user_path(user)}/activate"))

    def delete(self, user: "UserLike", *, transfer_to: "UserLike | None" = None) -> None:
        """Delete an account but keep its work; ``transfer_to`` will own its projects."""
        params = {} if transfer_to is None else {"transfer_to": _key(transfer_to)}
        self._http.request("DELETE", _user_path(user), params=params)

    def reset_password(self, user: "UserLike") -> Link:
        """Create a single-use link for the user to set a new password."""
        return self._make(Link, self._http.post(f"{_user_path(user)}/password-reset"))

    def end_sessions(self, user: "UserLike") -> int:
        """End all sessions of an account, and return how many ended."""
        answer = decoded(self._http.request("DELETE", f"{_user_path(user)}/sessions"))
        return int(answer["ended"])

    def reset_second_factor(self, user: "UserLike") -> None:
        """Remove the second factor of a user who lost both the app and the recovery codes."""
        self._http.request("DELETE", f"{_user_path(user)}/totp")

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


def _user_path(user: UserLike) -> str:
    return f"users/{segment(_key(user))}"


class PermissionInfo(Resource, PermissionOut):
    """A permission; ``reaches_projects`` is true if project roles may contain it."""


class Role(Resource, RoleOut):
    """A named set of permissions."""

    def update(self, **changes: Any) -> "Role":
        """Change the description or permissions."""
        return Roles(self._client).update(self, **changes)

    def delete(self) -> None:
        """Delete the role; refused while the role is in use."""
        Roles(self._client).delete(self)


RoleLike = Role | UUID | str


def _role_path(role: RoleLike) -> str:
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
        return self._get(Role, _role_path(role))

    def update(self, role: RoleLike, **changes: Any) -> Role:
        """Change the description or permissions of a role."""
        return self._patch(Role, _role_path(role), role, changes)

    def delete(self, role: RoleLike) -> None:
        """Delete a role that is not in use."""
        self._http.request("DELETE", _role_path(role))

    def list(self, *, limit: int | None = None) -> Pages[Role]:
        """List all roles, system roles first."""
        return self._pages(Role, "roles", limit=limit)


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
        """Create a key with your permissions, limited to ``scopes``.

        Args:
            name: a name for the key.
            scopes: permissions such as ``datasets:read``, ``datasets:*``, or ``*``.
            project: the only project in which the key is valid; None for all your projects.
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
        """List the keys of an account, newest first; with ``revoked``, include revoked ones."""
        return self._pages(Key, f"users/{segment(user or 'me')}/keys", revoked=revoked, limit=limit)

    def revoke(self, key: Key | UUID | str, *, user: str | None = None) -> None:
        """Revoke a key, so that requests with it are refused."""
        uuid = key.uuid if isinstance(key, Key) else key
        if user is not None and user == Users(self._client).me().username:
            user = None  # managing your own keys requires no account permission
        self._http.request("DELETE", f"users/{segment(user or 'me')}/keys/{segment(uuid)}")
