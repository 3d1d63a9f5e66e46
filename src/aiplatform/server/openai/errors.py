"""Errors of the OpenAI-compatible API."""

from aiplatform.server.core.errors import NotFound, Problem


class BadChatRequest(Problem):
    """A malformed request. OpenAI answers 400 where the rest of this API answers 422."""

    status = 400
    code = "invalid_request"
    title = {"en": "Invalid request", "zh": "请求无效"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class AmbiguousModel(Problem):
    """A model name that fits deployments of several projects.

    All of them are the caller's own projects, or all of these projects have the same name.
    """

    status = 400
    code = "ambiguous_model"
    title = {"en": "Ambiguous model", "zh": "模型名称不唯一"}
    detail = {
        "en": "Several projects have a deployment named {model!r}. Use the uuid of one of "
        "them as the model: {uuids}.",
        "zh": "多个项目都有名为 {model!r} 的部署，请改用其 uuid 作为模型名：{uuids}。",
    }


class ModelOfOtherProject(NotFound):
    """A bare name that only deployments of other people's projects have.

    A bare name means a deployment of the caller's own projects; others must be named with their
    project. Otherwise, members of a shared project could answer in place of the caller's
    deployments.
    """

    code = "foreign_model"
    title = {"en": "Model of another project", "zh": "模型属于其他项目"}
    detail = {
        "en": "None of your own projects has a deployment named {model!r}, but another "
        "project of which you are a member does. Use {names} as the model, or an API "
        "key for that project.",
        "zh": "您自己的项目中没有名为 {model!r} 的部署，但您加入的项目中有：请将模型名写为 "
        "{names}，或使用该项目的 API 密钥。",
    }


class ModelNotFound(NotFound):
    """A model that does not exist, or that the caller may not see."""

    code = "model_not_found"
    title = {"en": "Model not found", "zh": "模型不存在"}
    detail = {
        "en": "The model {model!r} does not exist, or you have no access to it. GET "
        "/v1/models lists the models that you can use.",
        "zh": "模型 {model!r} 不存在，或您无权访问。GET /v1/models 列出您可以使用的模型。",
    }


class NoSuchAddress(NotFound):
    """A part of OpenAI's interface that the platform does not offer."""

    code = "unknown_url"
    title = {"en": "Unknown address", "zh": "地址不存在"}
    detail = {
        "en": "Unknown request URL: {method} {path}. This server supports chat completions "
        "and models.",
        "zh": "未知的请求地址：{method} {path}。此处仅提供 chat completions 与 models 接口。",
    }


class ModelNotReady(Problem):
    """A deployment that exists but does not answer at the moment."""

    status = 503
    code = "model_not_ready"
    title = {"en": "Model not ready", "zh": "模型未就绪"}
    detail = {
        "en": "The deployment {model!r} is {state} and answers no requests. Start it, or try "
        "again later.",
        "zh": "部署 {model!r} 当前状态为 {state}，暂时无法应答请求。请启动它，或稍后重试。",
    }
    headers = {"Retry-After": "2"}


class DeploymentStopped(Problem):
    """A deployment that was stopped while it was answering."""

    status = 503
    code = "model_stopped"
    title = {"en": "Model stopped", "zh": "模型已停止"}
    detail = {
        "en": "The deployment {model!r} was stopped before the answer was complete. Start it "
        "again, or ask its owner.",
        "zh": "部署 {model!r} 在应答完成之前已停止。请重新启动，或联系其所有者。",
    }


class ModelServerUnavailable(Problem):
    """A model server that can't be reached, or that ended while it was answering."""

    status = 503
    code = "engine_unavailable"
    title = {"en": "Model server unavailable", "zh": "模型服务不可用"}
    detail = {
        "en": "The server of the deployment {model!r} has crashed. It restarts automatically. "
        "Try again shortly.",
        "zh": "部署 {model!r} 的服务进程已中断，系统会自动重启，请稍后重试。",
    }
    headers = {"Retry-After": "2"}


class ModelServerTimeout(Problem):
    """A model server that keeps its connection open but sends nothing."""

    status = 504
    code = "engine_timeout"
    title = {"en": "Model server timed out", "zh": "模型服务超时"}
    detail = {
        "en": "The server of the deployment {model!r} did not answer for {seconds} seconds. "
        "Try again with a shorter request.",
        "zh": "部署 {model!r} 的服务在 {seconds} 秒内没有响应。请缩短请求后重试。",
    }


class AccessRevoked(Problem):
    """A session, account or permission that ended before the answer was complete."""

    status = 401
    code = "access_revoked"
    title = {"en": "Access revoked", "zh": "访问权限已撤销"}
    detail = {
        "en": "Your access to this model was revoked before the answer was complete. Ask the "
        "owner of the project.",
        "zh": "在应答完成之前，您对该模型的访问权限已被撤销。请联系项目所有者。",
    }
    headers = {"WWW-Authenticate": "Bearer"}
