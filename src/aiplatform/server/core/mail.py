"""E-mail over SMTP. A message is a row in the caller's transaction, sent after the commit.

Its content is stored encrypted and is deleted after sending, because it may contain links that set
a password. If a worker dies while sending, its lease expires and another worker sends the message.
An e-mail may therefore arrive twice, but it is never lost.
"""

import json
import random
import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import UUID, uuid4

import structlog
from sqlalchemy import String, Text, delete, exists, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import Base, BigKey, Created, after_commit, transaction
from aiplatform.server.core.encryption import context_of, decrypt, encrypt, encrypted_column
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import Settings, get_settings

log = structlog.get_logger(__name__)
SEND_MAIL = "aiplatform.mail.send"
LEASE = timedelta(minutes=2)
TIMEOUT_SECONDS = 20.0
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1440))
KEEP = timedelta(days=30)
MAX_SUBJECT = 200


class OutgoingMail(Created, Base):
    """An e-mail to be sent, and afterwards a record of it without its content."""

    __tablename__ = "outgoing_mail"

    id: Mapped[BigKey]
    uuid: Mapped[UUID]
    recipient: Mapped[str] = mapped_column(String(320))
    kind: Mapped[str] = mapped_column(String(50))
    content: Mapped[bytes | None] = encrypted_column("mail:{uuid}", nullable=True)
    status: Mapped[str] = mapped_column(String(10), server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    locked_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class MailRefused(Exception):
    """A permanent failure: the address is invalid, or the mail server rejects the message."""


def can_send() -> bool:
    """Return True if the settings name a mail server."""
    return get_settings().smtp_host is not None


def send_mail(
    session: Session,
    *,
    to: str,
    kind: str,
    subject: str,
    text: str,
    html: str | None = None,
) -> bool:
    """Schedule an e-mail; it is sent after the session's transaction has committed.

    Args:
        session: the transaction; if it rolls back, nothing is sent.
        to: one address.
        kind: the kind of e-mail, which is stored in the record.
        subject: one line; line breaks become spaces.
        text: the content as plain text.
        html: the same content as HTML. The caller must escape what users wrote.

    Returns:
        False if no mail server is configured; nothing is stored in that case.
    """
    if not can_send():
        return False
    uuid = uuid4()
    content = {"subject": subject, "text": text, "html": html}
    encrypted = encrypt(dumps(content), context_of(OutgoingMail.__table__.c.content, uuid=uuid))
    session.add(OutgoingMail(uuid=uuid, recipient=to[:320], kind=kind, content=encrypted))
    session.flush()
    after_commit(session, lambda: send(SEND_MAIL, CHORES))
    return True


def compose(
    settings: Settings, to: str, uuid: UUID, content: dict[str, str | None]
) -> EmailMessage:
    """Build the message. User-provided text can't add headers.

    Raises:
        MailRefused: the address is invalid.
    """
    message = EmailMessage(policy=SMTP)
    try:
        recipient = Address(addr_spec=to)
        if any(ord(character) < 33 for character in to):
            raise MailRefused("the address has characters that no address has")
        message["To"] = recipient
    except (ValueError, IndexError, MessageError) as error:
        raise MailRefused("the address is none") from error
    name, address = parseaddr(settings.mail_from)
    message["From"] = Address(display_name=name, addr_spec=address)
    message["Subject"] = _one_line(content["subject"] or "")
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{uuid}@{address.partition('@')[2]}>"
    # Tells out-of-office programs not to reply.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(content["text"] or "")
    if content["html"]:
        message.add_alternative(content["html"], subtype="html")
    return message


def _one_line(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:MAX_SUBJECT]


def transmit(settings: Settings, message: EmailMessage) -> None:
    """Send a message to the mail server.

    Raises:
        MailRefused: the server rejects it permanently.
        smtplib.SMTPException, OSError: a later attempt may succeed.
    """
    assert settings.smtp_host is not None
    context = ssl.create_default_context()
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_SECONDS)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        try:
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            if all(500 <= code < 600 for code in codes):
                raise MailRefused(f"the server refuses the recipient ({min(codes)})") from error
            raise
        except smtplib.SMTPDataError as error:
            if 500 <= error.smtp_code < 600:
                raise MailRefused(f"the server refuses the mail ({error.smtp_code})") from error
            raise


@dataclass(frozen=True, slots=True)
class Claimed:
    """An e-mail that this worker is sending."""

    id: int
    uuid: UUID
    recipient: str
    attempt: int
    content: bytes


def send_next() -> bool:
    """Send one e-mail that is due. Return False if none is due."""
    settings = get_settings()
    if settings.smtp_host is None:
        return False
    with transaction() as session:
        claimed = _claim(session)
    if claimed is None:
        return False
    error: str | None = None
    final = True
    try:
        context = context_of(OutgoingMail.__table__.c.content, uuid=claimed.uuid)
        content = json.loads(decrypt(claimed.content, context))
        transmit(settings, compose(settings, claimed.recipient, claimed.uuid, content))
    except MailRefused as refusal:
        error = str(refusal)
    except (smtplib.SMTPException, OSError, Problem) as failure:
        # A server's error message may quote the e-mail, so only the kind of failure is stored.
        code = getattr(failure, "smtp_code", None)
        error = type(failure).__name__ + ("" if code is None else f" {code}")
        final = claimed.attempt > len(RETRIES)
    with transaction() as session:
        _conclude(session, claimed, error, final=final)
    log.info("mail", id=str(claimed.uuid), attempt=claimed.attempt, error=error)
    return True


def _due() -> tuple[object, ...]:
    now = func.clock_timestamp()
    return (
        OutgoingMail.status == "pending",
        OutgoingMail.next_attempt_at <= now,
        or_(OutgoingMail.locked_until.is_(None), OutgoingMail.locked_until < now),
    )


def _claim(session: Session) -> Claimed | None:
    mail = session.scalars(
        select(OutgoingMail)
        .where(*_due())  # type: ignore[arg-type]
        .order_by(OutgoingMail.next_attempt_at, OutgoingMail.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if mail is None:
        return None
    mail.attempts += 1
    mail.locked_until = func.clock_timestamp() + LEASE
    session.flush()
    return Claimed(mail.id, mail.uuid, mail.recipient, mail.attempts, mail.content or b"")


def _conclude(session: Session, claimed: Claimed, error: str | None, *, final: bool) -> None:
    mail = session.scalars(
        select(OutgoingMail)
        .where(
            OutgoingMail.id == claimed.id,
            OutgoingMail.attempts == claimed.attempt,
            OutgoingMail.status == "pending",
        )
        .with_for_update()
    ).one_or_none()
    if mail is None:
        return
    mail.locked_until, mail.error = None, error
    if error is not None and not final:
        spread = 0.8 + 0.4 * random.random()  # noqa: S311  (spreads load, no secret)
        mail.next_attempt_at = func.clock_timestamp() + RETRIES[claimed.attempt - 1] * spread
        return
    mail.status = "delivered" if error is None else "failed"
    mail.ended_at, mail.content = func.clock_timestamp(), None


def is_due(session: Session) -> bool:
    """Return True if an e-mail is due now."""
    waiting = exists(select(OutgoingMail.id).where(*_due()))  # type: ignore[arg-type]
    return can_send() and bool(session.scalar(select(waiting)))


def clean_up(session: Session) -> None:
    """Delete the records of e-mails that were delivered or failed more than ``KEEP`` ago."""
    session.execute(
        delete(OutgoingMail)
        .where(OutgoingMail.ended_at < func.now() - KEEP)
        .execution_options(synchronize_session=False)
    )
