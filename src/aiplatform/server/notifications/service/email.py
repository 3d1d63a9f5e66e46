"""E-mails with notifications, sent immediately or collected in digests, and with account links."""

from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.server.core.encryption import KeyFileUnusable
from aiplatform.server.core.errors import Language
from aiplatform.server.core.mail import can_send, send_mail
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.models import User
from aiplatform.server.notifications import queries, rules
from aiplatform.server.notifications.models import NotificationDigest

DIGEST_DELAYS = {EmailMode.HOURLY: timedelta(hours=1), EmailMode.DAILY: timedelta(days=1)}
"""Time from the first notification in a digest until the digest is sent."""

RETRY_DELAY = timedelta(minutes=5)
"""Time after which an e-mail that could not be encrypted is retried as part of a digest."""

MAX_IN_DIGEST = 100

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "inbox": "Your inbox on {base}: aiplatform notifications ls",
        "why": "You get this because of your preferences: aiplatform notifications preferences",
        "digest": "{count} notifications",
        "more": "… and {count} more.",
        "invitation": "You are invited to AI Platform",
        "invitation_text": "Somebody invited you to AI Platform. This link makes your account; it "
        "works once, with: aiplatform account accept-invitation LINK USERNAME",
        "password_reset": "Set a new password",
        "password_reset_text": "A new password for your account of AI Platform was asked for. This "
        "link sets it; it works once, with: aiplatform account reset-password LINK. If it was "
        "not you, ignore this mail.",
    },
    "zh": {
        "inbox": "您在 {base} 上的收件箱：aiplatform notifications ls",
        "why": "您收到此邮件是因为您的通知偏好设置：aiplatform notifications preferences",
        "digest": "{count} 条通知",
        "more": "……另有 {count} 条。",
        "invitation": "邀请您使用 AI Platform",
        "invitation_text": "您受邀使用 AI Platform。请用以下链接创建账号，"
        "链接仅可使用一次，命令为："
        "aiplatform account accept-invitation 链接 用户名",
        "password_reset": "设置新密码",
        "password_reset_text": "有人请求为您的 AI Platform 账号设置新密码。请用以下链接设置，链接"
        "仅可使用一次，命令为：aiplatform account reset-password 链接。"
        "如非本人操作，请忽略此邮件。",
    },
}

RenderedText = tuple[str, str]
"""Title and message of a notification."""


def send_or_defer(
    session: Session, recipient: queries.Recipient, kind: NotificationType, data: dict[str, Any]
) -> None:
    """Send an e-mail to a user immediately, or add the notification to their next digest.

    The user's e-mail mode decides; types in :data:`rules.MANDATORY` are never delayed. If there is
    no usable key to encrypt the e-mail, the notification also goes to a digest, so that the event
    itself does not fail.
    """
    if recipient.email is EmailMode.OFF or not can_send():
        return
    wait = DIGEST_DELAYS.get(recipient.email)
    # A user who may be losing control of the account must be notified immediately.
    if wait is not None and kind not in rules.MANDATORY:
        _defer(session, recipient, kind, data, wait)
        return
    title, message = rules.render(kind, data, recipient.language)
    try:
        texts = [(title, message)]
        _send(session, recipient.address, kind.value, title, texts, recipient.language)
    except KeyFileUnusable:  # already logged
        _defer(session, recipient, kind, data, RETRY_DELAY)


def _defer(
    session: Session,
    recipient: queries.Recipient,
    kind: NotificationType,
    data: dict[str, Any],
    wait: timedelta,
) -> None:
    session.add(
        NotificationDigest(
            user_id=recipient.user_id,
            type=kind.value,
            data=data,
            due_at=func.clock_timestamp() + wait,
        )
    )
    session.flush()


def due_digests(session: Session) -> Sequence[int]:
    """Return the ids of users with a due digest, at most 100."""
    return session.scalars(
        select(NotificationDigest.user_id)
        .where(NotificationDigest.due_at <= func.clock_timestamp())
        .group_by(NotificationDigest.user_id)
        .limit(100)
    ).all()


def send_digest(session: Session, user_id: int) -> bool:
    """Send a user's collected notifications in one e-mail.

    Return False if another worker has sent them, or the user receives no e-mail.

    Raises:
        KeyFileUnusable: when the e-mail can't be encrypted. The caller must then roll back the
            transaction.
    """
    rows = session.execute(
        delete(NotificationDigest)
        .where(NotificationDigest.user_id == user_id)
        .returning(NotificationDigest.id, NotificationDigest.type, NotificationDigest.data)
        .execution_options(synchronize_session=False)
    ).all()
    user = session.get(User, user_id)
    settings = queries.settings_of(session, user_id) if user is not None else None
    if not rows or user is None or settings is None or not user.is_active:
        return False
    if settings.email == EmailMode.OFF:
        return False
    language: Language = "zh" if settings.language == "zh" else "en"
    texts = []
    for row in sorted(rows, key=lambda row: row.id):
        kind = rules.known_type(row.type)
        if kind is not None:
            texts.append(rules.render(kind, row.data, language))
    subject = WORDS[language]["digest"].format(count=len(texts))
    _send(session, user.email, "digest", subject, texts, language)
    return True


def postpone_digests(session: Session, users: Sequence[int]) -> None:
    """Delay due digests by :data:`RETRY_DELAY`."""
    session.execute(
        update(NotificationDigest)
        .where(
            NotificationDigest.user_id.in_(users),
            NotificationDigest.due_at <= func.clock_timestamp(),
        )
        .values(due_at=func.clock_timestamp() + RETRY_DELAY)
        .execution_options(synchronize_session=False)
    )


def send_link(session: Session, email: str, kind: str, link: str, language: Language) -> bool:
    """Send an invitation or password reset link. Return False if e-mail is not configured."""
    words = WORDS[language]
    text = words[f"{kind}_text"]
    # The link is not an anchor because it is an argument for a command, not a page to open.
    html = f"<p>{escape(text)}</p><p><code>{escape(link)}</code></p>"
    return send_mail(
        session,
        to=email,
        kind=kind,
        subject=words[kind],
        text=f"{text}\n\n{link}\n",
        html=_page(html),
    )


def _send(
    session: Session,
    address: str,
    kind: str,
    subject: str,
    texts: Sequence[RenderedText],
    language: Language,
) -> None:
    words = WORDS[language]
    inbox = words["inbox"].format(base=get_settings().link_base)
    shown, left = texts[:MAX_IN_DIGEST], len(texts) - MAX_IN_DIGEST
    more = [words["more"].format(count=left)] if left > 0 else []
    text = "\n\n".join(
        [*(f"{title}\n{message}" for title, message in shown), *more, inbox, words["why"]]
    )
    html = "".join(
        f'<h3>{escape(title)}</h3><p style="white-space:pre-wrap">{escape(message)}</p>'
        for title, message in shown
    )
    html += "".join(f"<p>{escape(line)}</p>" for line in more)
    html += f"<p>{escape(inbox)}</p><p><small>{escape(words['why'])}</small></p>"
    send_mail(
        session,
        to=address,
        kind=kind,
        subject=subject,
        text=text + "\n",
        html=_page(html),
    )


def _page(body: str) -> str:
    return f'<!doctype html><html><head><meta charset="utf-8"></head><body>{body}</body></html>'
