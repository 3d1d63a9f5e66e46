"""Errors about notifications and webhooks, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Problem


class Mandatory(Problem):
    """Inbox notifications for security events can't be turned off."""

    status = 409
    code = "notification.mandatory"


class TooManyStreams(Problem):
    """The user already has the maximum number of streams open."""

    status = 429
    code = "notification.too_many_streams"
    headers = {"Retry-After": "5"}


class WebhookUrlRefused(Problem):
    """The platform may not connect to the webhook's address."""

    status = 422
    code = "webhook.url_refused"


class TooManyWebhooks(Conflict):
    """The project already has the maximum number of webhooks."""

    code = "webhook.too_many"


class WebhookDisabled(Conflict):
    """The webhook must be switched on for this request."""

    code = "webhook.disabled"
