"""Calls to the outside, as the settings allow them; see :mod:`aiplatform.data.outgoing`.

Webhooks and sign-on providers are at addresses that people type in. Redirects are not followed. An
administrator opens networks of their own with ``AIPLATFORM_OUTGOING_NETWORKS``. Models come from a
hub that the settings name, fetched by a worker, and are none of this.

Our own engines are reached by another, internal client.
"""

import httpx

from aiplatform.data import outgoing
from aiplatform.data.outgoing import AnswerTooLarge, JudgedTransport, OutgoingRefused, port_of
from aiplatform.server.core.settings import get_settings

__all__ = ["AnswerTooLarge", "OutgoingRefused", "client", "port_of", "require_open_url"]

MAX_BYTES = 1 << 20
"""Largest answer that is read, unless the caller expects more."""


def require_open_url(url: str) -> httpx.URL:
    """Judge an address that somebody types in by its form alone; nothing is looked up.

    Raises:
        OutgoingRefused: saying what is wrong with it.
    """
    return outgoing.require_open_url(url, get_settings().outgoing_networks)


def client(*, timeout: float = 10.0, max_bytes: int = MAX_BYTES) -> httpx.Client:
    """A client for addresses that people type in. It follows no redirects.

    Args:
        timeout: seconds that one call may take in all, name look-up and answer included.
        max_bytes: of an answer's body; more raises :class:`AnswerTooLarge`.
    """
    return httpx.Client(
        transport=JudgedTransport(
            timeout=timeout, max_bytes=max_bytes, networks=get_settings().outgoing_networks
        ),
        timeout=timeout,
        headers={"Accept-Encoding": "identity", "User-Agent": "AI-Platform"},
        # A proxy of the environment would look names up itself, after we did.
        trust_env=False,
        follow_redirects=False,
    )
