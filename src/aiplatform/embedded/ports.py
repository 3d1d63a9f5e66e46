"""A check, made before anything is started, that the API can listen on its address."""

import contextlib
import errno
import socket

from aiplatform.embedded.errors import PortUnavailableError
from aiplatform.language import tr

try:
    import psutil

    HAS_PSUTIL = True
except ImportError:  # doctor must also run where the extra `server` is not installed
    HAS_PSUTIL = False


def claim_port(host: str, port: int) -> int:
    """Check that a server can listen on ``host`` and ``port``, and return the port.

    Port 0 chooses any free port.

    Raises:
        PortUnavailableError: If the port is in use or forbidden, or the host is not this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise PortUnavailableError(
            tr("{host!r} is not an address of this machine.", host=host),
            tr(
                "Use --host 127.0.0.1 (this machine only) or --host 0.0.0.0 (reachable from "
                "others)."
            ),
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        # Servers set this, too: connections of a previous server that are still closing don't block
        # the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise _explain(error, host, port) from error
        return int(probe.getsockname()[1])


def _explain(error: OSError, host: str, port: int) -> PortUnavailableError:
    match error.errno:
        case errno.EADDRINUSE:
            owner = port_owner(port)
            return PortUnavailableError(
                tr("Port {port} on {host} is in use by {owner}.", port=port, host=host, owner=owner)
                if owner
                else tr("Port {port} on {host} is in use.", port=port, host=host),
                tr(
                    "End that program, or choose another port with --port or AIPLATFORM_PORT "
                    "(--port 0 takes any free one)."
                ),
            )
        case errno.EACCES:
            return PortUnavailableError(
                tr("This user may not listen on port {port}.", port=port),
                tr("Choose a port above 1023 with --port or AIPLATFORM_PORT."),
            )
        case errno.EADDRNOTAVAIL:
            return PortUnavailableError(
                tr("{host} is not an address of this machine.", host=host),
                tr(
                    "Use --host 127.0.0.1 (this machine only) or --host 0.0.0.0 (reachable from "
                    "others)."
                ),
            )
    return PortUnavailableError(
        tr(
            "Nothing can listen on {host}, port {port}: {strerror}.",
            host=host,
            port=port,
            strerror=error.strerror,
        ),
        tr("Choose another address with --host and --port."),
    )


def port_owner(port: int) -> str | None:
    """Return the pid and name of the process that listens on ``port``; None if unknown.

    A user may not be allowed to see the processes of others.
    """
    if not HAS_PSUTIL:
        return None
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f"process {connection.pid} ({name})"
    return None
