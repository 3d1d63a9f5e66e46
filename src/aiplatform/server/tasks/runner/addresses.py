"""Where a child must listen: one that serves, and one that others train with."""

import secrets
import socket

from aiplatform.protocol.messages import ServingAddress
from aiplatform.server.core.settings import Settings
from aiplatform.server.tasks.service.attempts import Claim


def serving_address(claim: Claim, settings: Settings) -> ServingAddress:
    """A socket of the attempt's own, or this machine's address for an API that is elsewhere."""
    token = secrets.token_urlsafe(32)
    host = settings.advertise_host
    if host is not None:
        return ServingAddress(host=host, token=token)
    # A socket's path may have about 107 bytes, so it does not lie in the attempt's directory.
    directory = settings.home / "run"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{claim.task_id:x}-{claim.fence:x}.sock"
    return ServingAddress(socket=str(directory / name), token=token)


def node_address(settings: Settings) -> str:
    """The address at which other workers reach this machine."""
    return settings.node_host or settings.advertise_host or outbound_address()


def outbound_address() -> str:
    """This machine's address on the way out, or the loopback where there is no way. Sends nothing.

    By what a host is called one often finds an address that only itself can reach.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of documentation: nobody has it
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def free_port(address: str) -> int:
    """A port of the address at which nobody listens at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port: int = listener.getsockname()[1]
        return port


def host_port(address: str, port: int) -> str:
    """Both in one, as URLs have them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
