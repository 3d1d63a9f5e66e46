"""Errors about notifications and webhooks, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Problem


class Mandatory(Problem):
    """An attempt to turn off inbox notifications for security events."""

    status = 409
    code = "notification.mandatory"


class TooManyStreams(Problem):
    """A request for another stream by a user who already has the maximum number open."""

    status = 429
    code = "notification.too_many_streams"
    headers = {"Retry-After": "5"}


class WebhookUrlRefused(Problem):
    """A webhook with an address that the platform does not connect to."""

    status = 422
    code = "webhook.url_refused"


class TooManyWebhooks(Conflict):
    """An attempt to create more webhooks than a project may have."""

    code = "webhook.too_many"


class WebhookDisabled(Conflict):
    """A request that requires a webhook to be switched on."""

    code = "webhook.disabled"
