"""Addresses at which a child listens, to serve requests or to train with other nodes."""

import secrets
import socket

from aiplatform.protocol.messages import ServingAddress
from aiplatform.server.core.settings import Settings
from aiplatform.server.execution.service.attempts import Claim


def serving_address(claim: Claim, settings: Settings) -> ServingAddress:
    """Return a socket for this attempt, or this machine's address if the API runs elsewhere."""
    token = secrets.token_urlsafe(32)
    host = settings.advertise_host
    if host is not None:
        return ServingAddress(host=host, token=token)
    # A socket's path may have about 107 bytes, so the attempt's directory could be too long.
    directory = settings.home / "run"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{claim.task_id:x}-{claim.fence:x}.sock"
    return ServingAddress(socket=str(directory / name), token=token)


def node_address(settings: Settings) -> str:
    """Return the address at which other workers reach this machine."""
    return settings.node_host or settings.advertise_host or outbound_address()


def outbound_address() -> str:
    """Return this machine's address for outgoing connections, or the loopback address.

    This sends nothing. Resolving the host's own name often gives an address that only the host
    itself can reach.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation; no host has it
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def free_port(address: str) -> int:
    """Return a port of the address on which nobody listens at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port: int = listener.getsockname()[1]
        return port


def host_port(address: str, port: int) -> str:
    """Return ``host:port`` as in URLs, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
