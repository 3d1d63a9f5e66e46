"""Errors about accounts, tokens and permissions, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid, Problem


class Unauthenticated(Problem):
    """A request without a valid token, or with a deactivated user's token."""

    status = 401
    code = "auth.unauthenticated"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCredentials(Problem):
    """A failed sign-in.

    The text is the same for an unknown account, a wrong password and a deactivated account, so that
    the response does not reveal which accounts exist.
    """

    status = 401
    code = "auth.wrong_credentials"
    headers = {"WWW-Authenticate": "Bearer"}


class TooManyAttempts(Problem):
    """Too many failed sign-ins within a short time, for an account or from an address.

    The response is the same for accounts that do not exist.
    """

    status = 429
    code = "auth.too_many_attempts"

    def __init__(self, *, seconds: int) -> None:
        super().__init__(seconds=seconds)
        self.headers = {"Retry-After": str(seconds)}  # type: ignore[misc]


class WrongPassword(Invalid):
    """A wrong current password in a request to change the account."""

    code = "account.wrong_password"


class WeakPassword(Invalid):
    """A new password that is too easy to guess."""

    code = "account.weak_password"


class PasswordChangeRequired(Problem):
    """A request from an account that must replace its initial password first."""

    status = 403
    code = "auth.password_change_required"


class PermissionDenied(Problem):
    """A missing permission. The response names it, so that the user can ask for it."""

    status = 403
    code = "auth.permission_denied"


class TotpRequired(Problem):
    """A sign-in with the right password but without the second factor's code."""

    status = 401
    code = "auth.totp_required"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongTotp(Problem):
    """A sign-in with the right password but a code that is wrong or already used."""

    status = 401
    code = "auth.wrong_totp"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCode(Invalid):
    """A wrong or already used code in a request to change the second factor."""

    code = "account.wrong_totp"


class TotpActive(Conflict):
    """An attempt to set up a second factor for an account that already has one."""

    code = "account.totp_active"


class TotpInactive(Conflict):
    """An account without a second factor, or without an enrolment to confirm."""

    code = "account.totp_inactive"


class InvalidLink(Invalid):
    """A link that can't be used.

    Its token is unknown, used, revoked or expired, or its creator no longer has the permissions
    that the link would grant.
    """

    code = "auth.invalid_link"


class RegistrationClosed(Problem):
    """An attempt to register while the setting ``SELF_REGISTRATION`` is off."""

    status = 403
    code = "auth.registration_closed"


class AccountTaken(Conflict):
    """A user name or email address that is already in use.

    Callers who are not signed in get this error, so it does not reveal which of the two is in use.
    """

    code = "account.taken"


class OwnRole(Problem):
    """An administrator's attempt to change their own role."""

    status = 403
    code = "account.own_role"


class AccountHoldsMore(Problem):
    """An account that has more rights in projects than the caller, as an owner or a member.

    The error names no project, because the caller may not be allowed to see it.
    """

    status = 403
    code = "account.holds_more"


class OwnAccount(Problem):
    """An attempt to change one's own account through the administration routes.

    The routes under ``users/me`` ask for the password; the administration routes do not.
    """

    status = 403
    code = "account.own_account"


class LastAdministrator(Conflict):
    """A change that would leave the platform without an active administrator."""

    code = "account.last_administrator"


class OwnsProjects(Conflict):
    """An account that can't be deleted because it owns projects; ``projects`` lists them."""

    code = "account.owns_projects"


class SessionRequired(Problem):
    """An API key in a request that requires a session."""

    status = 403
    code = "auth.session_required"


class SystemRole(Conflict):
    """An attempt to change or delete one of the three system roles."""

    code = "role.system_role"


class HeldRole(Problem):
    """An attempt to change a role that the caller has.

    Otherwise the caller could extend their own permissions.
    """

    status = 403
    code = "role.held"


class RoleInUse(Conflict):
    """A role that can't be deleted because it is in use.

    ``users``, ``members``, ``invitations`` and ``sso`` count its uses.
    """

    code = "role.in_use"


class SsoOff(Problem):
    """A request for single sign-on on a platform where no provider is configured."""

    status = 404
    code = "sso.off"


class SsoFailed(Problem):
    """A sign-in through the provider that can't be verified. The log contains the exact cause."""

    status = 401
    code = "sso.failed"
    headers = {"WWW-Authenticate": "Bearer"}


class SsoUnavailable(Problem):
    """A single sign-on provider that can't be reached, or whose response is invalid."""

    status = 503
    code = "sso.unavailable"


class RoleNameTooLong(Invalid):
    """A role whose name does not fit into the column for an account's role."""

    code = "account.role_name_too_long"


class ProofRequired(Invalid):
    """A change of the second factor with neither a password nor a code."""

    code = "account.proof_required"


class RedirectRefused(Invalid):
    """A sign-in whose redirect address is neither on this platform nor on the same machine."""

    code = "sso.redirect_refused"


class IncompleteMembership(Invalid):
    """An invitation with a project but no role in it, or vice versa."""

    code = "invitation.incomplete_membership"
