import os
import socket

import pytest

from aiplatform.embedded.errors import PortUnavailableError
from aiplatform.embedded.health import base_url
from aiplatform.embedded.ports import claim_port, port_owner


def test_claim_port_0_returns_a_free_port() -> None:
    port = claim_port("127.0.0.1", 0)
    assert port > 0
    assert claim_port("127.0.0.1", port) == port


def test_claim_port_of_a_used_port_names_its_process() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert str(os.getpid()) in (port_owner(port) or "")
        with pytest.raises(PortUnavailableError, match=f"Port {port} .* process {os.getpid()}"):
            claim_port("127.0.0.1", port)
        with pytest.raises(PortUnavailableError):
            claim_port("0.0.0.0", port)


def test_claim_port_ignores_closing_connections() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first stays in TIME_WAIT
        client.close()
    assert claim_port("127.0.0.1", port) == port


@pytest.mark.parametrize("host", ["192.0.2.7", "no such host", "", "x" * 300])
def test_claim_port_on_a_foreign_address_is_refused(host: str) -> None:
    with pytest.raises(PortUnavailableError, match="is not an address of this machine"):
        claim_port(host, 0)


def test_base_url_is_an_address_to_open() -> None:
    assert base_url("127.0.0.1", 8400) == "http://127.0.0.1:8400"
    assert base_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert base_url("::", 1) == "http://[::1]:1"
