"""HTTP calls to user-supplied addresses, such as webhooks and sign-on providers.

The settings decide which networks may be called; see :mod:`aiplatform.data.outgoing_http`. By
default only public networks are allowed; administrators add networks with
``AIPLATFORM_OUTGOING_NETWORKS``. Redirects are not followed.

This module is not used for models, which workers download from the configured hub, nor for the
platform's own model servers, which have an internal client.
"""

import httpx

from aiplatform.data import outgoing_http
from aiplatform.data.outgoing_http import AnswerTooLarge, CheckedTransport, OutgoingRefused, port_of
from aiplatform.server.core.settings import get_settings

__all__ = ["AnswerTooLarge", "OutgoingRefused", "client", "port_of", "require_open_url"]

MAX_BYTES = 1 << 20
"""Default for the largest response that is read, in bytes."""


def require_open_url(url: str) -> httpx.URL:
    """Check a user-supplied URL without looking up its host name, and return the parsed URL.

    Raises:
        OutgoingRefused: the URL may not be called; the message says why.
    """
    return outgoing_http.require_open_url(url, get_settings().outgoing_networks)


def client(*, timeout: float = 10.0, max_bytes: int = MAX_BYTES) -> httpx.Client:
    """Return a client for user-supplied addresses. It follows no redirects.

    Args:
        timeout: seconds for a whole call, from the name look-up to the end of the response.
        max_bytes: largest response body in bytes; more raises :class:`AnswerTooLarge`.
    """
    return httpx.Client(
        transport=CheckedTransport(
            timeout=timeout, max_bytes=max_bytes, networks=get_settings().outgoing_networks
        ),
        timeout=timeout,
        headers={"Accept-Encoding": "identity", "User-Agent": "AI-Platform"},
        # A proxy from the environment would resolve the name a second time, after our check.
        trust_env=False,
        follow_redirects=False,
    )
