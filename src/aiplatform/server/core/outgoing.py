"""HTTP calls to addresses that users typed in, such as webhooks and sign-on providers.

The settings decide which networks may be called; see :mod:`aiplatform.data.outgoing_http`. By
default only public networks are allowed; administrators add networks with
``AIPLATFORM_OUTGOING_NETWORKS``. Redirects are not followed.

This module is not used for model downloads, which workers fetch from the configured hub, nor for
the platform's own model servers, which have an internal client.
"""

import httpx

from aiplatform.data import outgoing_http
from aiplatform.data.outgoing_http import AnswerTooLarge, CheckedTransport, OutgoingRefused, port_of
from aiplatform.server.core.settings import get_settings

__all__ = ["AnswerTooLarge", "OutgoingRefused", "client", "port_of", "require_open_url"]

MAX_BYTES = 1 << 20
"""Largest answer in bytes that is read, unless the caller expects more."""


def require_open_url(url: str) -> httpx.URL:
    """Check a URL that a user typed in by its form alone. Nothing is looked up.

    Raises:
        OutgoingRefused: the message says what is wrong.
    """
    return outgoing_http.require_open_url(url, get_settings().outgoing_networks)


def client(*, timeout: float = 10.0, max_bytes: int = MAX_BYTES) -> httpx.Client:
    """Return a client for addresses that users typed in. It follows no redirects.

    Args:
        timeout: seconds for a whole call, including name look-up and answer.
        max_bytes: largest body of an answer; more raises :class:`AnswerTooLarge`.
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
