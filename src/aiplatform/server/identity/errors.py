"""Errors about accounts, tokens and permissions, as they are answered to clients."""

from aiplatform.server.core.errors import Conflict, Invalid, Problem


class Unauthenticated(Problem):
    """A request without a valid token, or with the token of a deactivated user."""

    status = 401
    code = "unauthenticated"
    title = {"en": "Not signed in", "zh": "未登录"}
    detail = {
        "en": "The request needs a valid access token. Log in again.",
        "zh": "请求需要有效的访问令牌，请重新登录。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCredentials(Problem):
    """A failed sign-in.

    The text is the same for an unknown account, a wrong password and a deactivated account, so that
    the answer does not reveal which accounts exist.
    """

    status = 401
    code = "wrong_credentials"
    title = {"en": "Sign-in failed", "zh": "登录失败"}
    detail = {
        "en": "The user name or password is wrong, or the account is not active. Try again, "
        "or ask an administrator.",
        "zh": "用户名或密码错误，或账号未启用。请重试，或联系管理员。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class TooManyAttempts(Problem):
    """Too many failed sign-ins within a short time, for an account or from an address.

    The answer is the same for accounts that do not exist.
    """

    status = 429
    code = "too_many_attempts"
    title = {"en": "Too many attempts", "zh": "尝试次数过多"}
    detail = {
        "en": "There were too many failed logins. Try again in {seconds} seconds.",
        "zh": "登录失败次数过多，请在 {seconds} 秒后重试。",
    }

    def __init__(self, *, seconds: int) -> None:
        super().__init__(seconds=seconds)
        self.headers = {"Retry-After": str(seconds)}  # type: ignore[misc]


class WrongPassword(Invalid):
    """A wrong current password in a request to change the account."""

    code = "wrong_password"
    title = {"en": "Wrong password", "zh": "密码错误"}
    detail = {"en": "The current password is wrong. Try again.", "zh": "当前密码错误，请重试。"}


class WeakPassword(Invalid):
    """A new password that is too easy to guess."""

    code = "weak_password"
    title = {"en": "Password too weak", "zh": "密码强度不足"}
    detail = {"en": "{reason}", "zh": "{reason}"}


class PasswordChangeRequired(Problem):
    """A request from an account that must replace its initial password first."""

    status = 403
    code = "password_change_required"
    title = {"en": "Change the password first", "zh": "请先修改密码"}
    detail = {
        "en": "This account still has its initial password. Change it with `aiplatform login` "
        "or PUT /api/v1/users/me/password.",
        "zh": "该账号仍在使用初始密码，请先用 `aiplatform login` 或 PUT "
        "/api/v1/users/me/password 修改。",
    }


class PermissionDenied(Problem):
    """A missing permission. The answer names it, so that the user can ask for it."""

    status = 403
    code = "permission_denied"
    title = {"en": "Permission denied", "zh": "权限不足"}
    detail = {
        "en": "This requires the permission {permission}. Ask the owner of the project or an "
        "administrator for it.",
        "zh": "此操作需要权限 {permission}，请联系项目所有者或管理员。",
    }


class TotpRequired(Problem):
    """A sign-in with the right password that lacks the code of the second factor."""

    status = 401
    code = "totp_required"
    title = {"en": "Second factor needed", "zh": "需要两步验证"}
    detail = {
        "en": "This account has a second factor. Log in again with the code of the "
        "authenticator app, or a recovery code, in the field `totp` (--totp).",
        "zh": "该账号启用了两步验证，请在 `totp` 字段（--totp）"
        "中附上验证器应用的验证码或恢复码后重新登录。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class WrongTotp(Problem):
    """A sign-in with the right password, and a code that is wrong or was already used."""

    status = 401
    code = "wrong_totp"
    title = {"en": "Sign-in failed", "zh": "登录失败"}
    detail = {
        "en": "The code is wrong, or it was already used. Wait for the next code, and try again.",
        "zh": "验证码错误或已被使用，请等待下一个验证码后重试。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCode(Invalid):
    """A wrong or already used code in a request to change the second factor."""

    code = "wrong_code"
    title = {"en": "Wrong code", "zh": "验证码错误"}
    detail = {
        "en": "The code is wrong, or it was already used. Wait for the next code, and try again.",
        "zh": "验证码错误或已被使用，请等待下一个验证码后重试。",
    }


class TotpActive(Conflict):
    """An attempt to set up a second factor for an account that already has one."""

    code = "totp_active"
    title = {"en": "Second factor is active", "zh": "两步验证已启用"}
    detail = {
        "en": "This account already has a second factor. Disable it before you set up another one.",
        "zh": "该账号已启用两步验证，如需更换请先停用。",
    }


class TotpInactive(Conflict):
    """An account without a second factor, or without an enrolment that could be confirmed."""

    code = "totp_inactive"
    title = {"en": "No second factor", "zh": "未启用两步验证"}
    detail = {
        "en": "This account has no second factor. Set one up first (`aiplatform account totp "
        "enable`).",
        "zh": "该账号未启用两步验证，请先启用（`aiplatform account totp enable`）。",
    }


class InvalidLink(Invalid):
    """A link that can't be used.

    Its token is unknown, used, revoked or expired, or the person who created it no longer has the
    permissions that it promises.
    """

    code = "invalid_link"
    title = {"en": "Link not valid", "zh": "链接无效"}
    detail = {
        "en": "This link is not valid: it was used or withdrawn, or it has expired. Ask for a "
        "new one.",
        "zh": "该链接无效：已被使用、撤回或过期，请重新获取。",
    }


class RegistrationClosed(Problem):
    """An attempt to register while the setting ``SELF_REGISTRATION`` is off."""

    status = 403
    code = "registration_closed"
    title = {"en": "Registration is closed", "zh": "未开放注册"}
    detail = {
        "en": "This platform creates accounts by invitation only. Ask an administrator for one.",
        "zh": "此处仅通过邀请创建账号，请联系管理员。",
    }


class AccountTaken(Conflict):
    """A user name or e-mail address that is in use.

    Strangers get this error, so it does not reveal which of the two is in use.
    """

    code = "account_taken"
    title = {"en": "Name or address in use", "zh": "用户名或邮箱已被占用"}
    detail = {
        "en": "This user name or e-mail address can't be used. Choose another one, or log in "
        "if it is yours.",
        "zh": "该用户名或邮箱无法使用，请更换；若属于您，请直接登录。",
    }


class OwnRole(Problem):
    """An attempt to change one's own role."""

    status = 403
    code = "own_role"
    title = {"en": "Not your own role", "zh": "不能修改自己的角色"}
    detail = {
        "en": "Nobody changes their own role. Ask another administrator.",
        "zh": "不能修改自己的角色，请联系其他管理员。",
    }


class AccountHoldsMore(Problem):
    """An account that has more rights in projects than the caller, as an owner or a member.

    The error names no project, because the caller may not be allowed to see it.
    """

    status = 403
    code = "account_holds_more"
    title = {"en": "The account may do more than you", "zh": "该账号的权限高于您"}
    detail = {
        "en": "{username} owns projects, or has permissions in projects, that you don't have. "
        "If you change an account you could take it over, so you must hold everything "
        "that it holds. Ask an administrator with the permission *.",
        "zh": "{username} 拥有项目，或在项目中具有您没有的权限。修改账号的人可能借此冒用该账号，"
        "因此只有具备其全部权限的人才能操作。请联系拥有 * 权限的管理员。",
    }


class OwnAccount(Problem):
    """An attempt to change one's own account through the routes for administrators.

    The routes under ``users/me`` ask for the password; the routes for administrators do not.
    """

    status = 403
    code = "own_account"
    title = {"en": "Your own account", "zh": "您自己的账号"}
    detail = {
        "en": "This is your own account. Use the routes under users/me, which require your "
        "password (`aiplatform account`).",
        "zh": "这是您自己的账号，请使用 users/me 下的接口，需要提供密码（`aiplatform account`）。",
    }


class LastAdministrator(Conflict):
    """A change that would leave the platform without an active administrator."""

    code = "last_administrator"
    title = {"en": "Last administrator", "zh": "最后一位管理员"}
    detail = {
        "en": "This would leave the platform without an active administrator. "
        "Give somebody else a role with `*` first.",
        "zh": "此操作将使平台没有可用的管理员，请先将带有 `*` 权限的角色授予其他人。",
    }


class OwnsProjects(Conflict):
    """An account that can't be deleted because it owns projects; ``projects`` lists them."""

    code = "owns_projects"
    title = {"en": "Owner of projects", "zh": "仍拥有项目"}
    detail = {
        "en": "{username} owns projects: {names}. Transfer them first, or name their new "
        "owner with transfer_to (--transfer-to).",
        "zh": "{username} 仍拥有项目：{names}。请先转让，或用 transfer_to（--transfer-to）"
        "指定新的所有者。",
    }


class SessionRequired(Problem):
    """An API key in a request that requires a session."""

    status = 403
    code = "session_required"
    title = {"en": "Sign-in required", "zh": "需要登录"}
    detail = {
        "en": "API keys can't do this. Log in with your account.",
        "zh": "API 密钥无法执行此操作，请使用账号登录。",
    }


class SystemRole(Conflict):
    """An attempt to change or delete one of the three system roles."""

    code = "system_role"
    title = {"en": "System role", "zh": "系统角色"}
    detail = {
        "en": "{name} is a system role and can't be changed or deleted. Create a role of your own.",
        "zh": "{name} 是系统角色，不能修改或删除，请创建自定义角色。",
    }


class HeldRole(Problem):
    """An attempt to change a role that the caller has.

    Otherwise the caller could extend their own permissions.
    """

    status = 403
    code = "held_role"
    title = {"en": "Your own role", "zh": "您自己的角色"}
    detail = {
        "en": "You have the role {name} yourself. Only somebody with the permission `*` may "
        "change it. Ask an administrator.",
        "zh": "您本人拥有角色 {name}，只有拥有 `*` 权限的人才能修改它。请联系管理员。",
    }


class RoleInUse(Conflict):
    """A role that can't be deleted because it is in use.

    ``users``, ``members``, ``invitations`` and ``sso`` count its uses.
    """

    code = "role_in_use"
    title = {"en": "Role in use", "zh": "角色正在使用"}
    detail = {
        "en": "The role {name} is used by {users} users, {members} project members, "
        "{invitations} invitations and {sso} single sign-on groups. Give them another "
        "role first.",
        "zh": "角色 {name} 正在使用：{users} 个用户、{members} 个项目成员、{invitations} 个邀请、"
        "{sso} 个单点登录组。请先为其更换角色。",
    }


class SsoOff(Problem):
    """A request for single sign-on on a platform where no provider is configured."""

    status = 404
    code = "sso_off"
    title = {"en": "No single sign-on", "zh": "未启用单点登录"}
    detail = {
        "en": "This platform has no single sign-on. Log in with a password.",
        "zh": "此平台未启用单点登录，请使用密码登录。",
    }


class SsoFailed(Problem):
    """A sign-in through the provider that can't be verified. The log contains the exact cause."""

    status = 401
    code = "sso_failed"
    title = {"en": "Sign-in failed", "zh": "登录失败"}
    detail = {
        "en": "Single sign-on failed: {reason} Try again.",
        "zh": "单点登录失败：{reason}请重新开始。",
    }
    headers = {"WWW-Authenticate": "Bearer"}


class SsoUnavailable(Problem):
    """A single sign-on provider that does not answer, or answers incorrectly."""

    status = 503
    code = "sso_unavailable"
    title = {"en": "Provider unavailable", "zh": "身份提供方不可用"}
    detail = {
        "en": "The single sign-on provider does not answer correctly. Try again shortly.",
        "zh": "单点登录的身份提供方未正常响应，请稍后重试。",
    }
