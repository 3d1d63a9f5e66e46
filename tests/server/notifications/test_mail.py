"""Tests of email with a real SMTP server: encryption, rejection, loss, header injection."""

import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core import mail
from aiplatform.server.core.database import commit
from aiplatform.server.core.mail import OutgoingMail, send_mail
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.service import hooks
from aiplatform.server.notifications.service import announce
from tests.conftest import environment
from tests.factories import make_user
from tests.server.notifications.mailbox import Mailbox, last, parts, queue, serve

pytestmark = pytest.mark.usefixtures("client")


class TestSending:
    def test_sent_mail_reaches_its_recipient_and_its_content_is_deleted(
        self, session: Session, box: Mailbox
    ) -> None:
        queue(session, subject="你好", text="正文\n", html="<p>正文</p>")
        assert mail.send_next() is True
        assert mail.send_next() is False
        ((recipients, message),) = box.got
        assert recipients == ["ann@example.com"]
        assert message["Subject"] == "你好"
        assert message["From"] == "AI Platform <platform@example.com>"
        assert message["Message-ID"].endswith("@example.com>")
        assert parts(message)[0].strip() == "正文"
        row = last(session)
        assert (row.status, row.content, row.error) == ("delivered", None, None)

    def test_waiting_mail_is_encrypted(self, session: Session, box: Mailbox) -> None:
        row = queue(session, text="a link that sets a password")
        assert row.content is not None
        assert b"password" not in row.content

    def test_rolled_back_mail_is_not_sent(self, session: Session, box: Mailbox) -> None:
        send_mail(session, to="ann@example.com", kind="test", subject="x", text="x")
        session.rollback()
        assert mail.send_next() is False

    def test_mail_is_not_kept_without_a_server(self, session: Session) -> None:
        assert not send_mail(session, to="ann@example.com", kind="test", subject="x", text="x")

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_mail_is_sent_encrypted_and_with_a_login(
        self, security: str, session: Session, box: Mailbox, certificate: Path, tmp_path: Path
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        tls: dict[str, Any] = (
            {"ssl_context": context}
            if security == "tls"
            else {"tls_context": context, "require_starttls": True}
        )
        secure = Mailbox()
        controller = serve(
            secure, authenticator=secure.authenticate, auth_required=True,
            auth_require_tls=security != "tls", **tls,
        )  # fmt: skip
        password = tmp_path / "password"
        password.write_text("secret of smtp\n")
        settings = {
            "AIPLATFORM_SMTP_PORT": str(controller.port),
            "AIPLATFORM_SMTP_SECURITY": security,
            "AIPLATFORM_SMTP_USER": "platform",
            "AIPLATFORM_SMTP_PASSWORD_FILE": str(password),
        }
        try:
            with environment(**settings):
                # A server whose certificate is not trusted gets neither the password nor the email.
                queue(session)
                mail.send_next()
                assert (last(session).status, last(session).error) == (
                    "pending", "SSLCertVerificationError",
                )  # fmt: skip
                assert secure.logins == []
                session.execute(update(OutgoingMail).values(next_attempt_at=func.now()))
                session.commit()
                with environment(SSL_CERT_FILE=str(certificate)):
                    mail.send_next()
        finally:
            controller.stop()
        assert last(session).status == "delivered"
        assert secure.logins == [(b"platform", b"secret of smtp")]

    def test_password_without_encryption_is_refused(self) -> None:
        with (
            environment(AIPLATFORM_SMTP_HOST="smtp.example.com", AIPLATFORM_SMTP_SECURITY="none",
                        AIPLATFORM_SMTP_USER="a", AIPLATFORM_SMTP_PASSWORD="b"),
            pytest.raises(ValueError, match="SMTP"),
        ):  # fmt: skip
            get_settings()


class TestTrouble:
    @pytest.mark.parametrize(
        ("what", "answer", "status"),
        [("recipient", "550 no such user", "failed"), ("recipient", "450 later", "pending"),
         ("data", "554 no spam", "failed"), ("data", "451 later", "pending")],
    )  # fmt: skip
    def test_refused_mail_is_retried_or_fails(
        self, what: str, answer: str, status: str, session: Session, box: Mailbox
    ) -> None:
        setattr(box, f"refuse_{what}", answer)
        queue(session)
        mail.send_next()
        row = last(session)
        assert (row.status, row.content is None) == (status, status == "failed")
        assert row.error is not None
        if status == "pending":
            box.refuse_data = box.refuse_recipient = ""
            session.execute(update(OutgoingMail).values(next_attempt_at=func.now()))
            session.commit()
            mail.send_next()
            assert last(session).status == "delivered"

    def test_mail_is_retried_while_nobody_listens_and_then_fails(
        self, session: Session, box: Mailbox
    ) -> None:
        with environment(AIPLATFORM_SMTP_PORT="1"):
            queue(session)
            mail.send_next()
            assert last(session).error == "ConnectionRefusedError"
            session.execute(
                update(OutgoingMail).values(next_attempt_at=func.now(), attempts=len(mail.RETRIES))
            )
            session.commit()
            mail.send_next()
        row = last(session)
        assert (row.status, row.content) == ("failed", None)

    def test_mail_of_a_killed_worker_is_sent_again(self, session: Session, box: Mailbox) -> None:
        queue(session)
        script = textwrap.dedent(
            """
            import os, signal
            from aiplatform.server.core import mail
            mail._conclude = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
            mail.send_next()
            """
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], env=dict(os.environ), timeout=60, check=False
        )
        assert ended.returncode == -signal.SIGKILL
        assert mail.send_next() is False
        session.execute(text("UPDATE outgoing_mail SET locked_until = now()"))
        session.commit()
        assert mail.send_next() is True
        assert last(session).status == "delivered"
        first, second = (message["Message-ID"] for _, message in box.got)
        assert first == second

    def test_concurrent_workers_send_each_mail_once(self, session: Session, box: Mailbox) -> None:
        for number in range(12):
            queue(session, subject=str(number))

        def drain() -> None:
            while mail.send_next():
                pass

        threads = [threading.Thread(target=drain) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(int(m["Subject"]) for _, m in box.got) == list(range(12))


class TestInjection:
    @pytest.mark.parametrize(
        "subject",
        ["x\r\nBcc: evil@example.com", "x\nBcc: evil@example.com", "x\r\n\r\nbody", "x\x00y\x1b[0m",
         "x\u2028Bcc: evil@example.com", "a" * 5000],
    )  # fmt: skip
    def test_subject_can_not_add_headers(
        self, subject: str, session: Session, box: Mailbox
    ) -> None:
        queue(session, subject=subject)
        mail.send_next()
        ((recipients, message),) = box.got
        assert recipients == ["ann@example.com"]
        assert message["Bcc"] is None
        assert len(message["Subject"]) <= mail.MAX_SUBJECT
        assert parts(message)[0].strip() == "Hello."

    @pytest.mark.parametrize(
        "address",
        ["ann@example.com\r\nBcc: evil@example.com", "ann@example.com, evil@example.com",
         "ann@example.com\nRCPT TO:<evil@example.com>", "nobody", "", "@", "a b@example.com",
         "Ann <ann@example.com>", "ann@example.com>", "ann@exa mple.com"],
    )  # fmt: skip
    def test_invalid_address_is_not_used(
        self, address: str, session: Session, box: Mailbox
    ) -> None:
        queue(session, to=address)
        mail.send_next()
        assert box.got == []
        assert last(session).status == "failed"

    def test_text_of_users_is_escaped(self, session: Session, box: Mailbox) -> None:
        user = make_user(session)
        hostile = '<img src=x onerror=alert(1)>"&\r\nBcc: evil@example.com'
        announce(session, N.TASK_FAILED, to=[user.id], name=hostile, error=hostile)
        commit(session)
        mail.send_next()
        ((recipients, message),) = box.got
        assert recipients == [user.email]
        assert message["Bcc"] is None
        plain, html = parts(message)
        assert "<img" in plain
        assert "<img" not in html
        assert "&lt;img" in html


class TestLinks:
    @pytest.mark.parametrize("kind", ["invitation", "password_reset"])
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_send_link_sends_a_mail(
        self, kind: str, language: Any, session: Session, box: Mailbox
    ) -> None:
        link = f"https://platform.example.com/{kind}#aip_{uuid4().hex}"
        assert hooks.send_link(session, "new@example.com", kind, link, language) is True
        commit(session)
        mail.send_next()
        ((recipients, message),) = box.got
        assert recipients == ["new@example.com"]
        plain, html = parts(message)
        assert link in plain
        assert link in html
        assert "href" not in html, "it is for a command; there is no such page"

    def test_send_link_without_a_server_returns_false(self, session: Session) -> None:
        assert hooks.send_link(session, "a@example.com", "invitation", "https://x", "en") is False
