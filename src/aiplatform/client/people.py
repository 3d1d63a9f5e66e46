"""Accounts, inboxes and the audit trail."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from aiplatform.client.base import Group, Resource
from aiplatform.client.paging import Pages
from aiplatform.client.transport import segment


class User(Resource):
    """An account."""

    uuid: UUID
    username: str
    email: str | None = None
    role: str | None = None
    is_active: bool = True
    permissions: list[str] = []
    created_at: datetime | None = None
    last_login_at: datetime | None = None


class Notification(Resource):
    """A message in your inbox."""

    uuid: UUID
    type: str
    title: str
    message: str | None = None
    data: dict[str, Any] = {}
    project: UUID | None = None
    is_read: bool = False
    created_at: datetime | None = None

    def mark_read(self) -> None:
        """Mark it as read."""
        self.client.notifications.mark_read(self)


class AuditUser(BaseModel):
    """Who acted, by the name of that time."""

    uuid: UUID | None = None
    username: str | None = None


class AuditEntry(Resource):
    """Who did what to which resource, with what outcome; no user means the platform itself."""

    uuid: UUID | None = None
    action: str
    outcome: str | None = None
    user: AuditUser | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    project: UUID | None = None
    details: dict[str, Any] = {}
    ip_address: str | None = None
    user_agent: str | None = None
    created_at: datetime | None = None


class Users(Group):
    """``client.users``."""

    def me(self) -> User:
        """The account that is logged in."""
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
        """Create an account; ``must_change_password`` lets it do nothing else at first."""
        body: dict[str, Any] = {"username": username, "email": email, "password": password}
        if role is not None:
            body["role"] = role
        if must_change_password:
            body["must_change_password"] = True
        return self._make(User, self._http.post("users", body))

    def list(self, **filters: Any) -> Pages[User]:
        """All accounts."""
        return self._pages(User, "users", **filters)


class Notifications(Group):
    """``client.notifications``."""

    def mark_read(self, notification: Notification | UUID | str) -> None:
        """Mark one as read."""
        key = notification.uuid if isinstance(notification, Notification) else notification
        self._http.post(f"notifications/{segment(key)}/read")

    def list(self, *, unread: bool | None = None) -> Pages[Notification]:
        """Your inbox, newest first."""
        return self._pages(Notification, "notifications", unread=unread)


class Audit(Group):
    """``client.audit``."""

    def list(self, **filters: Any) -> Pages[AuditEntry]:
        """The audit trail, newest first; filters as in the API's documentation."""
        return self._pages(AuditEntry, "audit", **filters)
