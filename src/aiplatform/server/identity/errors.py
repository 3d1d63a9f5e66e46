"""What can go wrong with accounts, tokens and permissions."""

from aiplatform.server.core.errors import Invalid, Problem


class Unauthenticated(Problem):
    """No token, or one that is unknown, expired, revoked, or whose user is deactivated."""

    status = 401
    code = "unauthenticated"
    title = {"en": "Not signed in", "zh": "未登录"}
    detail = {
        "en": "The request needs a valid access token. Sign in again.",
        "zh": "请求需要有效的访问令牌，请重新登录。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCredentials(Problem):
    """The same words whether the account is unknown, the password wrong, or it is deactivated."""

    status = 401
    code = "wrong_credentials"
    title = {"en": "Sign-in failed", "zh": "登录失败"}
    detail = {
        "en": "User name or password is wrong, or the account is not active.",
        "zh": "用户名或密码错误，或账号未启用。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class TooManyAttempts(Problem):
    """Wrong passwords follow each other too fast. The same for accounts that do not exist."""

    status = 429
    code = "too_many_attempts"
    title = {"en": "Too many attempts", "zh": "尝试次数过多"}
    detail = {
        "en": "Too many wrong passwords for this account. Try again in {seconds} seconds.",
        "zh": "该账号密码错误次数过多，请在 {seconds} 秒后重试。",
    }

    def __init__(self, *, seconds: int) -> None:
        super().__init__(seconds=seconds)
        self.headers = {"Retry-After": str(seconds)}  # type: ignore[misc]


class WrongPassword(Invalid):
    """The current password that was given for a change is not it."""

    code = "wrong_password"
    title = {"en": "Wrong password", "zh": "密码错误"}
    detail = {"en": "The current password is wrong.", "zh": "当前密码错误。"}


class WeakPassword(Invalid):
    """The new password is too easily guessed."""

    code = "weak_password"
    title = {"en": "Password too weak", "zh": "密码强度不足"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class PasswordChangeRequired(Problem):
    """The first password must be replaced before anything else."""

    status = 403
    code = "password_change_required"
    title = {"en": "Change the password first", "zh": "请先修改密码"}
    detail = {
        "en": "This account still has its first password. "
        "Change it with PUT /api/v1/users/me/password (or `aiplatform login`).",
        "zh": "该账号仍在使用初始密码，请先通过 PUT /api/v1/users/me/password"
        "（或 `aiplatform login`）修改。",
    }


class PermissionDenied(Problem):
    """The permission that is missing is named, so that it can be asked for."""

    status = 403
    code = "permission_denied"
    title = {"en": "Permission denied", "zh": "权限不足"}
    detail = {
        "en": "This needs the permission {permission}. Ask an owner or an administrator for it.",
        "zh": "此操作需要权限 {permission}，请联系项目所有者或管理员。",
    }
