"""Use cases for notifications."""

from aiplatform.server.notifications.service.announce import announce, announce_security_event
from aiplatform.server.notifications.service.email import send_link
from aiplatform.server.notifications.service.inbox import (
    delete_notification,
    delete_read,
    mark_all_read,
    mark_read,
    update_preferences,
)
from aiplatform.server.notifications.service.stream import Hub

__all__ = [
    "Hub",
    "announce",
    "announce_security_event",
    "delete_notification",
    "delete_read",
    "mark_all_read",
    "mark_read",
    "send_link",
    "update_preferences",
]
