"""Problems that the routes of secrets and tasks with secrets answer with."""

from aiplatform.server.core.errors import Conflict, Invalid


class NoSuchSecret(Invalid):
    """A task that names a secret which neither its author nor its project has."""

    code = "no_such_secret"
    title = {"en": "No such secret", "zh": "机密不存在"}
    detail = {
        "en": "Neither you nor the project has a secret named {name!r}. "
        "Store it first: aiplatform secrets set {name}",
        "zh": "您和该项目都没有名为 {name!r} 的机密，请先保存：aiplatform secrets set {name}",
    }


class TooManySecrets(Conflict):
    """A secret beyond the maximum number of secrets of a user or project."""

    code = "too_many_secrets"
    title = {"en": "Too many secrets", "zh": "机密数量过多"}
    detail = {
        "en": "At most {limit} secrets can be stored here. Delete one first.",
        "zh": "此处最多可保存 {limit} 个机密，请先删除一个。",
    }
