"""An SMTP server that collects the emails sent to it, and helpers that queue emails."""

import email
import socket
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.database import commit
from aiplatform.server.core.mail import OutgoingMail, send_mail


class Mailbox:
    """An SMTP server handler that collects the received emails."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], EmailMessage]] = []
        self.refuse_recipient = self.refuse_data = ""
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuse_data:
            return self.refuse_data
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.got.append((envelope.rcpt_tos, message))
        return "250 OK"

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret of smtp")


def serve(box: Mailbox, **options: Any) -> Controller:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    return controller


def queue(session: Session, **changes: Any) -> OutgoingMail:
    values = {"to": "ann@example.com", "kind": "test", "subject": "Hello", "text": "Hello.\n"}
    assert send_mail(session, **{**values, **changes})
    commit(session)
    return last(session)


def last(session: Session) -> OutgoingMail:
    session.expire_all()
    return session.scalars(select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1)).one()


def parts(message: EmailMessage) -> tuple[str, str]:
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    return plain.get_content(), "" if html is None else html.get_content()
