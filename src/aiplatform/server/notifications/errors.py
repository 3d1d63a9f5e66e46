"""Errors about notifications and webhooks, as they are answered to clients."""

from aiplatform.server.core.errors import Conflict, Problem


class Mandatory(Problem):
    """An attempt to remove security events from the inbox."""

    status = 409
    code = "notification_mandatory"
    title = {"en": "Can't be switched off", "zh": "无法关闭"}
    detail = {
        "en": "Notifications of type {type} always go to the inbox, so that nobody can take "
        "over an account unnoticed. You can switch off their e-mail.",
        "zh": "{type} 始终进入收件箱，以免账号在您不知情时被接管。您可以关闭它的邮件通知。",
    }


class TooManyStreams(Problem):
    """A request for a further stream by a user who has the maximum number open."""

    status = 429
    code = "too_many_streams"
    title = {"en": "Too many streams", "zh": "连接过多"}
    detail = {
        "en": "You already have {limit} open notification streams. Close one first.",
        "zh": "您已打开 {limit} 个通知流，请先关闭其中一个。",
    }
    headers = {"Retry-After": "5"}


class WebhookUrlRefused(Problem):
    """A webhook address that the platform does not call."""

    status = 422
    code = "webhook_url_refused"
    title = {"en": "Address refused", "zh": "地址被拒绝"}
    detail = {
        "en": "The address of the webhook can't be called: it must be a public http(s) "
        "address without user name and password. {reason}",
        "zh": "无法调用该 Webhook 地址：必须是公网 http(s) 地址，不含用户名和密码。{reason}",
    }


class TooManyWebhooks(Conflict):
    """An attempt to create more webhooks than a project may have."""

    code = "too_many_webhooks"
    title = {"en": "Too many webhooks", "zh": "Webhook 过多"}
    detail = {
        "en": "A project has at most {limit} webhooks. Delete one first.",
        "zh": "每个项目最多 {limit} 个 Webhook，请先删除一个。",
    }


class WebhookDisabled(Conflict):
    """A request that requires a webhook to be switched on."""

    code = "webhook_disabled"
    title = {"en": "Webhook switched off", "zh": "Webhook 已停用"}
    detail = {
        "en": "The webhook is switched off. Switch it on first.",
        "zh": "该 Webhook 已停用，请先启用。",
    }
