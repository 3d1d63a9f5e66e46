"""Fixtures for the tests of notifications."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from aiplatform.server.core.mail import OutgoingMail
from aiplatform.server.notifications.models import WebhookDelivery
from tests.conftest import environment
from tests.server.notifications.mailbox import Mailbox, serve
from tests.server.notifications.receiver import Receiver, receiving
from tests.server.notifications.stream_client import StreamClient


@pytest.fixture
def loopback_open(session: Session) -> Iterator[None]:
    """Allow webhook calls to this machine, and mark other tests' deliveries as failed."""
    session.execute(update(WebhookDelivery).values(status="failed"))
    session.commit()
    with environment(AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8"):
        yield


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def box(session: Session) -> Iterator[Mailbox]:
    session.execute(update(OutgoingMail).values(status="failed"))
    session.execute(text("DELETE FROM notification_digests"))
    session.commit()
    box = Mailbox()
    controller = serve(box)
    with environment(
        AIPLATFORM_SMTP_HOST="127.0.0.1",
        AIPLATFORM_SMTP_PORT=str(controller.port),
        AIPLATFORM_SMTP_SECURITY="none",
        AIPLATFORM_MAIL_FROM="AI Platform <platform@example.com>",
        AIPLATFORM_PUBLIC_URL="https://platform.example.com/",
    ):
        yield box
    controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a self-signed certificate for 127.0.0.1 and its private key."""
    from ipaddress import ip_address

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("smtp") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def watch(server_url: str) -> Iterator[Callable[..., StreamClient]]:
    opened: list[StreamClient] = []

    def open_one(token: str, last: str | None = None, **options: Any) -> StreamClient:
        watcher = StreamClient(server_url, token, last, **options)
        opened.append(watcher)
        watcher.until(lambda w: "ready" in w.kinds())
        return watcher

    yield open_one
    for watcher in opened:
        watcher.close()
