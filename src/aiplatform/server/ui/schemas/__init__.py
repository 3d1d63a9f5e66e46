"""Schemas for the web interface."""

from aiplatform.server.ui.schemas.browser_session import (
    BrowserSessionOut,
    BrowserSignInIn,
    DisplayPreferencesIn,
    DisplayPreferencesOut,
)
from aiplatform.server.ui.schemas.stream import StreamEvent

__all__ = [
    "BrowserSessionOut",
    "BrowserSignInIn",
    "DisplayPreferencesIn",
    "DisplayPreferencesOut",
    "StreamEvent",
]
