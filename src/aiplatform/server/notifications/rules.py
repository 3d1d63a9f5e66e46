"""Texts of notifications in both languages, default channels, and retries of webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.errors import Language

MAX_TITLE = 255
MAX_MESSAGE = 10_000


@dataclass(frozen=True, slots=True)
class Text:
    """The texts of a notification type in one language: its label and two templates.

    The templates for title and message contain placeholders for the notification's data.
    """

    label: str
    title: str
    message: str


TEXTS: dict[N, dict[Language, Text]] = {
    N.DATASET_FAILED: {
        "en": Text("Dataset fails its checks", "{name}: fails its checks",
                   "The dataset {name} can't be used for training: {reason}"),
        "zh": Text("数据集未通过检查", "{name}：未通过检查",
                   "数据集 {name} 不能用于训练：{reason}"),
    },
    N.DATASET_READY: {
        "en": Text("Dataset checked", "{name}: quality {score}/100",
                   "The quality report of {name} is ready: score {score} of 100, "
                   "{findings} findings."),
        "zh": Text("数据集检查完成", "{name}：质量 {score}/100",
                   "{name} 的质量报告已生成：得分 {score}/100，发现 {findings} 个问题。"),
    },
    N.DEPLOYMENT_CRASHED: {
        "en": Text("Deployment crashed", "{name}: crashed",
                   "The deployment {name} crashed {crashes} times in a row and was given up. "
                   "The last error: {error}"),
        "zh": Text("部署崩溃", "{name}：已崩溃",
                   "部署 {name} 连续崩溃 {crashes} 次，已停止重启。最后的错误：{error}"),
    },
    N.DEPLOYMENT_READY: {
        "en": Text("Deployment ready", "{name}: ready", "The deployment {name} answers requests."),
        "zh": Text("部署就绪", "{name}：已就绪", "部署 {name} 已可以接受请求。"),
    },
    N.DEPLOYMENT_UPDATED: {
        "en": Text("Deployment updated", "{name}: updated",
                   "The deployment {name} serves {model} now."),
        "zh": Text("部署已更新", "{name}：已更新", "部署 {name} 现在提供的模型是 {model}。"),
    },
    N.DEPLOYMENT_UPDATE_FAILED: {
        "en": Text("Update failed", "{name}: update failed",
                   "The deployment {name} could not be updated to {model} and serves what it "
                   "served before. {error}"),
        "zh": Text("部署更新失败", "{name}：更新失败",
                   "部署 {name} 未能更新到 {model}，仍提供原来的模型。{error}"),
    },
    N.MEMBER_ADDED: {
        "en": Text("Added to a project", "You were added to {project_name}",
                   "{by} gave you the role {role}."),
        "zh": Text("加入项目", "您已加入 {project_name}", "{by} 授予您角色 {role}。"),
    },
    N.MEMBER_CHANGED: {
        "en": Text("Role changed", "Your role in {project_name} changed",
                   "{by} changed your role from {before} to {role}."),
        "zh": Text("角色变更", "您在 {project_name} 中的角色已变更",
                   "{by} 将您的角色由 {before} 改为 {role}。"),
    },
    N.MEMBER_DECLINED: {
        "en": Text("Invitation declined", "{user} declined to join {project_name}",
                   "You had offered the role {role}."),
        "zh": Text("邀请被谢绝", "{user} 谢绝加入 {project_name}", "您曾提供角色 {role}。"),
    },
    N.MEMBER_INVITED: {
        "en": Text("Invited into a project", "{by} invites you into {project_name}",
                   "You would have the role {role}. Accept with `aiplatform projects accept "
                   "{invitation}`, or decline with `aiplatform projects decline {invitation}`."),
        "zh": Text("项目邀请", "{by} 邀请您加入 {project_name}",
                   "您将获得角色 {role}。接受：`aiplatform projects accept {invitation}`；"
                   "谢绝：`aiplatform projects decline {invitation}`。"),
    },
    N.MEMBER_JOINED: {
        "en": Text("Invitation accepted", "{user} has joined {project_name}",
                   "They have the role {role}."),
        "zh": Text("邀请已接受", "{user} 已加入 {project_name}", "其角色为 {role}。"),
    },
    N.MEMBER_REMOVED: {
        "en": Text("Removed from a project", "You were removed from {project_name}",
                   "{by} took away your role {role}."),
        "zh": Text("移出项目", "您已被移出 {project_name}", "{by} 收回了您的角色 {role}。"),
    },
    N.MODEL_REGISTERED: {
        "en": Text("Model registered", "{name}: registered",
                   "The model {name} is in the registry and can be used."),
        "zh": Text("模型已注册", "{name}：已注册", "模型 {name} 已注册，可以使用。"),
    },
    N.PROJECT_RECEIVED: {
        "en": Text("Project received", "{project_name} is yours now",
                   "{by} made you the owner of {project_name}."),
        "zh": Text("接收项目", "{project_name} 现在归您所有", "{by} 将 {project_name} 转交给您。"),
    },
    N.PROJECT_TRANSFERRED: {
        "en": Text("Project transferred", "{project_name} has a new owner",
                   "{by} made {owner} the owner of {project_name}."),
        "zh": Text("项目已转交", "{project_name} 有了新的所有者",
                   "{by} 将 {project_name} 转交给 {owner}。"),
    },
    N.QUOTA_NEAR: {
        "en": Text("Quota nearly used up", "{project_name}: {quota} nearly used up",
                   "{project_name} uses {used} of {limit} {quota}. What goes beyond is refused."),
        "zh": Text("配额即将用尽", "{project_name}：{quota} 即将用尽",
                   "{project_name} 的{quota}已使用 {used}，上限 {limit}，超出部分将被拒绝。"),
    },
    N.SCHEDULE_FAILED: {
        "en": Text("Schedule refused", "{name}: refused",
                   "The schedule {name} was due and submitted nothing: {reason}"),
        "zh": Text("定时计划被拒绝", "{name}：被拒绝",
                   "定时计划 {name} 到期但未能提交：{reason}"),
    },
    N.SECURITY_EMAIL_CHANGED: {
        "en": Text("Address changed", "Your address was changed",
                   "The e-mail address of your account was changed. If it was not you, tell an "
                   "administrator."),
        "zh": Text("邮箱已变更", "您的邮箱地址已变更",
                   "您账号的邮箱地址已被修改。如果不是您本人操作，请告知管理员。"),
    },
    N.SECURITY_KEY_CREATED: {
        "en": Text("API key created", "A new API key: {name}",
                   "The API key {name} was created for your account. If it was not you, revoke it "
                   "and change your password."),
        "zh": Text("创建了 API 密钥", "新的 API 密钥：{name}",
                   "您的账号创建了 API 密钥 {name}。如非本人操作，请吊销密钥并修改密码。"),
    },
    N.SECURITY_KEY_REVOKED: {
        "en": Text("API key revoked", "Your API key {name} was revoked",
                   "{by} revoked the API key {name}. Programs that use it are refused now."),
        "zh": Text("API 密钥已吊销", "您的 API 密钥 {name} 已被吊销",
                   "{by} 吊销了 API 密钥 {name}，使用它的程序将被拒绝。"),
    },
    N.SECURITY_LOGIN: {
        "en": Text("Sign-in from a new device", "New sign-in from {address}",
                   "Somebody signed in to your account from {address} with {agent}. If it was not "
                   "you, change your password: that ends all other sessions."),
        "zh": Text("新设备登录", "来自 {address} 的新登录",
                   "您的账号从 {address}（{agent}）登录。如非本人操作，请修改密码，"
                   "其他会话将随之结束。"),
    },
    N.SECURITY_PASSWORD_CHANGED: {
        "en": Text("Password changed", "Your password was changed",
                   "Your other sessions have ended. If it was not you, ask for help."),
        "zh": Text("密码已修改", "您的密码已修改",
                   "您的其他会话均已结束。如非本人操作，请寻求帮助。"),
    },
    N.SECURITY_PASSWORD_RESET: {
        "en": Text("Password reset", "Your password was reset",
                   "A link set a new password, and all sessions have ended. If it was not you, ask "
                   "for help."),
        "zh": Text("密码已重置", "您的密码已重置",
                   "通过链接设置了新密码，所有会话均已结束。如非本人操作，请寻求帮助。"),
    },
    N.SECURITY_RECOVERY_CODES_RENEWED: {
        "en": Text("Recovery codes renewed", "Your recovery codes were renewed",
                   "The former ones no longer work."),
        "zh": Text("恢复码已更新", "您的恢复码已更新", "旧的恢复码不再有效。"),
    },
    N.SECURITY_TOKEN_REUSED: {
        "en": Text("Session ended for safety", "One of your sessions was ended",
                   "Two parties held the tokens of one session; the last came from {address}. One "
                   "of them may have stolen them. Sign in again; if you do not know the address, "
                   "change your password and revoke your API keys."),
        "zh": Text("会话已被安全终止", "您的一个会话已被终止",
                   "有两方持有同一会话的令牌，最后一次来自 {address}，其中一方可能是窃取者。"
                   "请重新登录；如果您不认识该地址，请修改密码并吊销您的 API 密钥。"),
    },
    N.SECURITY_TOTP_DISABLED: {
        "en": Text("Second factor removed", "Your second factor was removed",
                   "The password alone is enough to sign in. If it was not you, ask for help."),
        "zh": Text("两步验证已关闭", "您的两步验证已关闭",
                   "现在只凭密码即可登录。如非本人操作，请寻求帮助。"),
    },
    N.SECURITY_TOTP_ENABLED: {
        "en": Text("Second factor added", "You have a second factor now",
                   "Signing in takes a code of your authenticator app from now on."),
        "zh": Text("两步验证已启用", "您已启用两步验证", "今后登录需要验证器应用中的验证码。"),
    },
    N.SWEEP_ENDED: {
        "en": Text("Sweep ended", "{name}: {status}",
                   "The sweep {name} is {status} after {trials} trials; the best {objective} is "
                   "{best}."),
        "zh": Text("超参数搜索结束", "{name}：{status}",
                   "超参数搜索 {name} 在 {trials} 次试验后结束（{status}），"
                   "最佳 {objective} 为 {best}。"),
    },
    N.TASK_ALERT: {
        "en": Text("Alert of a running task", "{name}: {what}",
                   "{name}: {what} ({value})."),
        "zh": Text("运行中任务的告警", "{name}：{what}", "{name}：{what}（{value}）。"),
    },
    N.TASK_COMPLETED: {
        "en": Text("Task completed", "{name}: completed", "The {work} has completed."),
        "zh": Text("任务完成", "{name}：已完成", "{work}任务已完成。"),
    },
    N.TASK_FAILED: {
        "en": Text("Task failed", "{name}: failed", "{error}"),
        "zh": Text("任务失败", "{name}：失败", "{error}"),
    },
    N.WEBHOOK_DISABLED: {
        "en": Text("Webhook switched off", "Webhook {name} was switched off",
                   "The webhook {name} of {project_name} was switched off: {reason} Repair its "
                   "receiver and switch it on again; what waits for it is sent then."),
        "zh": Text("Webhook 已停用", "Webhook {name} 已停用",
                   "{project_name} 的 Webhook {name} 已停用：{reason}"
                   "请修复接收端后重新启用，等待中的事件将继续发送。"),
    },
    N.WORKER_CORDONED: {
        "en": Text("Worker cordoned", "Worker {worker} accepts no more tasks",
                   "Processes of the task {name} can't be ended on {worker} ({hostname}): "
                   "{processes}. End them or restart the machine, then resume the worker."),
        "zh": Text("worker 已停止接收任务", "worker {worker} 已停止接收任务",
                   "任务 {name} 在 {worker}（{hostname}）上的进程无法结束：{processes}。"
                   "请结束这些进程或重启机器，然后恢复该 worker。"),
    },
}  # fmt: skip

WORK: dict[TaskType, dict[Language, str]] = {
    TaskType.DATASET_IMPORT: {"en": "import of a dataset", "zh": "数据集导入"},
    TaskType.DATA_FIX: {"en": "fix of a dataset", "zh": "数据集修复"},
    TaskType.DATA_QUALITY: {"en": "quality report", "zh": "质量报告"},
    TaskType.ESTIMATE: {"en": "estimate of a training", "zh": "训练预估"},
    TaskType.EVALUATION: {"en": "evaluation", "zh": "评估"},
    TaskType.EXTERNAL: {"en": "external run", "zh": "外部运行"},
    TaskType.INFERENCE: {"en": "deployment", "zh": "部署"},
    TaskType.MODEL_IMPORT: {"en": "import of a model", "zh": "模型导入"},
    TaskType.SCRIPT: {"en": "script", "zh": "脚本"},
    TaskType.TRAINING: {"en": "training", "zh": "训练"},
}
"""Human-readable names of the task types, in English and Chinese."""

MANDATORY = frozenset(kind for kind in N if kind.is_personal)
"""Types that always go to the inbox, so that an intruder with a stolen session can't hide them."""

EMAILED = MANDATORY | {
    N.MEMBER_ADDED, N.MEMBER_INVITED, N.MEMBER_REMOVED, N.PROJECT_RECEIVED, N.PROJECT_TRANSFERRED,
    N.QUOTA_NEAR, N.TASK_FAILED, N.WEBHOOK_DISABLED, N.WORKER_CORDONED,
}  # fmt: skip
"""Types that are also sent by e-mail unless the user chooses otherwise."""

WEBHOOK_EVENTS = tuple(
    kind
    for kind in N
    if not kind.is_personal and kind not in {N.WEBHOOK_DISABLED, N.WORKER_CORDONED}
)
"""Types of events that a project's webhooks can receive."""


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def render(kind: N, data: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """Return a notification's title and message.

    Values missing from ``data`` are shown as question marks.
    """
    text = TEXTS[kind][language]
    # In Chinese, a key ``x_zh`` replaces ``x``, as in the texts of errors.
    known = _Known(data)
    if language == "zh":
        known.update({key[:-3]: data[key] for key in data if key.endswith("_zh")})
    if data.get("task_type") in WORK:
        known["work"] = WORK[data["task_type"]][language]
    title, message = text.title.format_map(known), text.message.format_map(known)
    return clean_text(title)[:MAX_TITLE], clean_text(message)[:MAX_MESSAGE]


def known_type(kind: str) -> N | None:
    """Return the notification type with this name, or None if the name is unknown.

    Rows from older versions or other programs may contain unknown names.
    """
    try:
        return N(kind)
    except ValueError:
        return None


# --- webhooks ---------------------------------------------------------------------------------

RETRIES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)
"""Delays before the retries of a webhook call, indexed by the number of failures so far.

They add up to more than three days, as the Standard Webhooks specification proposes.
"""

JITTER = 0.2
DISABLE_AFTER = timedelta(days=3)
"""Time after which a webhook without a successful call is switched off."""

DISABLED: dict[str, dict[Language, str]] = {
    "failing": {
        "en": "its receiver has accepted nothing for three days.",
        "zh": "接收端已连续三天未能接收事件。",
    },
    "gone": {
        "en": "its receiver answered that it was permanently removed (410).",
        "zh": "接收端答复已永久停用（410）。",
    },
}


def retry_delay(failures: int, chance: float) -> timedelta | None:
    """Return the delay before the next call after this many failures; None if there is none.

    ``chance``, a random number from 0 to 1, makes the delay shorter or longer by a share of up to
    :data:`JITTER`, so that deliveries that failed together are not retried together.
    """
    if failures > len(RETRIES):
        return None
    return RETRIES[failures - 1] * (1 + JITTER * (2 * chance - 1))
