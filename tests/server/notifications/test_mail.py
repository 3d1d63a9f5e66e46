"""E-mail to a real SMTP server: encrypted, refused, lost, and never with a header too many."""

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
    def test_reaches_its_recipient_and_leaves_no_content(
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

    def test_rests_sealed_until_then(self, session: Session, box: Mailbox) -> None:
        row = queue(session, text="a link that sets a password")
        assert row.content is not None
        assert b"password" not in row.content

    def test_is_not_sent_of_what_was_rolled_back(self, session: Session, box: Mailbox) -> None:
        send_mail(session, to="ann@example.com", kind="test", subject="x", text="x")
        session.rollback()
        assert mail.send_next() is False

    def test_without_a_server_nothing_is_kept(self, session: Session) -> None:
        assert not send_mail(session, to="ann@example.com", kind="test", subject="x", text="x")

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    def test_encrypted_with_a_login(
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
                # A server that can't prove who it is gets neither password nor mail.
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

    def test_no_password_over_an_open_line(self) -> None:
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
    def test_refused_for_good_or_for_now(
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

    def test_nobody_listens(self, session: Session, box: Mailbox) -> None:
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

    def test_a_worker_killed_while_it_sends_loses_nothing(
        self, session: Session, box: Mailbox
    ) -> None:
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

    def test_several_workers_send_each_once(self, session: Session, box: Mailbox) -> None:
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
    def test_a_subject_stays_one_line(self, subject: str, session: Session, box: Mailbox) -> None:
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
    def test_an_address_is_one_address(self, address: str, session: Session, box: Mailbox) -> None:
        queue(session, to=address)
        mail.send_next()
        assert box.got == []
        assert last(session).status == "failed"

    def test_what_users_write_is_escaped(self, session: Session, box: Mailbox) -> None:
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
    def test_identity_can_have_links_sent(
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

    def test_or_learns_that_there_is_no_way_to(self, session: Session) -> None:
        assert hooks.send_link(session, "a@example.com", "invitation", "https://x", "en") is False
