"""Your own account (sessions, second factor, password) and invitations for other people."""

from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform.client.base import Group, Resource
from aiplatform.client.pages import Pages
from aiplatform.client.projects import Projects
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.shapes.identity import (
    EnrolmentOut,
    InvitationOut,
    LinkOut,
    SessionOut,
    TotpOut,
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
    """An invitation, whose link creates one account.

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
        """Invite a person, optionally with a global role, or to a project with a role in it.

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
