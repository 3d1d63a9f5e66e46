"""SELECT statements for notifications, limited to the caller's own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    Select,
    Text,
    cast,
    delete,
    false,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.server.core.errors import Language, NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import User
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    NotificationPreference,
    NotificationSettings,
)


def inbox(
    principal: Principal, *, unread: bool = False, kind: NotificationType | None = None
) -> Select[*tuple[Any, ...]]:
    """Select the principal's notifications, each with its :class:`NotificationDetails`."""
    statement = (
        select(Notification, NotificationDetails)
        .join(NotificationDetails, NotificationDetails.notification_id == Notification.id)
        .where(Notification.user_id == principal.user_id)
    )
    if kind is not None:
        statement = statement.where(Notification.type == kind.value)
    # Written like the condition of the schema contract's partial index, so that PostgreSQL uses the
    # index.
    return statement.where(Notification.is_read == false()) if unread else statement


def get_notification(
    session: Session, principal: Principal, uuid: UUID
) -> tuple[Notification, NotificationDetails]:
    """Lock and return one of the principal's notifications.

    Raises:
        NotFound: when there is no such notification, or it belongs to another user.
    """
    row = session.execute(
        inbox(principal).where(NotificationDetails.uuid == uuid).with_for_update(of=Notification)
    ).one_or_none()
    if row is None:
        raise NotFound(resource="notification")
    return row[0], row[1]


def count_unread(session: Session, users: Collection[int]) -> dict[int, int]:
    """Count the unread notifications of each of ``users``, in one statement."""
    rows = session.execute(
        select(Notification.user_id, func.count())
        .where(Notification.user_id.in_(users), Notification.is_read == false())
        .group_by(Notification.user_id)
    ).all()
    return dict.fromkeys(users, 0) | {row[0]: row[1] for row in rows}


def mark_all_read(session: Session, principal: Principal) -> int:
    """Mark all of the principal's notifications as read, and return the number that were unread."""
    result = session.execute(
        update(Notification)
        .where(Notification.user_id == principal.user_id, Notification.is_read == false())
        .values(is_read=True)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def delete_read(session: Session, principal: Principal) -> int:
    """Delete the notifications that the principal has read, and return their number."""
    result = session.execute(
        delete(Notification)
        .where(Notification.user_id == principal.user_id, Notification.is_read == true())
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def settings_of(session: Session, user_id: int, *, lock: bool = False) -> NotificationSettings:
    """Return the user's notification settings, creating the row if it is missing."""
    session.execute(insert(NotificationSettings).values(user_id=user_id).on_conflict_do_nothing())
    statement = select(NotificationSettings).where(NotificationSettings.user_id == user_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return session.scalars(statement).one()


def preferences_of(session: Session, user_id: int) -> dict[str, NotificationPreference]:
    """Return the user's preferences by type; the defaults apply to missing types."""
    rows: Sequence[NotificationPreference] = session.scalars(
        select(NotificationPreference).where(NotificationPreference.user_id == user_id)
    ).all()
    return {row.type: row for row in rows}


class XID8(UserDefinedType[str]):
    """SQL type ``xid8``: PostgreSQL's 64-bit transaction numbers."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the name of the type."""
        return "xid8"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user, and the channels on which they want notifications of a type."""

    user_id: int
    inbox: bool
    email: EmailMode
    address: str
    username: str
    language: Language


def recipients(session: Session, users: Collection[int], kind: NotificationType) -> list[Recipient]:
    """Return the users that exist among ``users``, with their channels for the type ``kind``."""
    if not users:
        return []
    rows = session.execute(
        select(
            User.id,
            User.email,
            User.username,
            User.is_active,
            NotificationSettings.email.label("mode"),
            NotificationSettings.language,
            NotificationPreference.inbox,
            NotificationPreference.email.label("wants_email"),
        )
        .outerjoin(NotificationSettings, NotificationSettings.user_id == User.id)
        .outerjoin(
            NotificationPreference,
            (NotificationPreference.user_id == User.id)
            & (NotificationPreference.type == kind.value),
        )
        .where(User.id.in_(users))
        .order_by(User.id)
    ).all()
    found = []
    for row in rows:
        wants = kind in rules.EMAILED if row.wants_email is None else row.wants_email
        mode = EmailMode(row.mode or EmailMode.IMMEDIATE)
        found.append(
            Recipient(
                user_id=row.id,
                inbox=kind in rules.MANDATORY or row.inbox is not False,
                email=mode if wants and row.is_active else EmailMode.OFF,
                address=row.email,
                username=row.username,
                language="zh" if row.language == "zh" else "en",
            )
        )
    return found


# --- streams: read in the order of transactions, up to the oldest one still running -------------

NotificationRow = Any
"""A row with three columns: notification, its details, and its transaction (``position``)."""

_transaction: ColumnElement[Any] = literal_column("notification_details.transaction_id")


def oldest_running(session: Session) -> int:
    """Return the number of the oldest running transaction. All earlier ones have ended.

    All notifications from earlier transactions are therefore visible.
    """
    return int(session.scalars(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).one())


def newest_transaction(session: Session) -> int:
    """Return the first unassigned transaction number, one above the newest."""
    return int(session.scalars(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")).one())


def _position(transaction: int, notification: int) -> Any:
    return tuple_(cast(cast(str(transaction), Text), XID8), literal(notification, BigInteger))


def notifications_between(
    session: Session,
    after: tuple[int, int],
    before: tuple[int, int],
    *,
    limit: int,
    user_id: int | None = None,
) -> Sequence[NotificationRow]:
    """Return one user's or all users' notifications between two positions, in stream order.

    A position consists of the numbers of a transaction and a notification. ``before`` must not be
    later than a result of :func:`oldest_running`, because transactions that are still running could
    add notifications.
    """
    place = tuple_(_transaction, NotificationDetails.notification_id)
    statement = (
        select(Notification, NotificationDetails, cast(_transaction, Text).label("position"))
        .join(NotificationDetails, NotificationDetails.notification_id == Notification.id)
        .where(place > _position(*after), place <= _position(*before))
        .order_by(_transaction, NotificationDetails.notification_id)
        .limit(limit)
    )
    if user_id is not None:
        statement = statement.where(Notification.user_id == user_id)
    return session.execute(statement).all()


def has_unread_commits(session: Session, after: tuple[int, int]) -> bool:
    """Return True if a committed notification has a later position than ``after``."""
    place = tuple_(_transaction, NotificationDetails.notification_id)
    found = session.scalars(
        select(NotificationDetails.notification_id).where(place > _position(*after)).limit(1)
    )
    return found.first() is not None


def settle_restored(session: Session) -> None:
    """Lower the transaction numbers of notifications restored from another database server.

    The restored numbers may be higher than any on this server, and streams would wait until the
    server reaches them.
    """
    session.execute(
        text(
            "UPDATE notification_details SET transaction_id = '3'"
            " WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())"
        )
    )
