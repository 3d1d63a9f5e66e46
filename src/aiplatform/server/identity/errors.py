"""Errors about accounts, tokens and permissions, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid, Problem


class Unauthenticated(Problem):
    """The request has no valid token, or the token of a deactivated user."""

    status = 401
    code = "auth.unauthenticated"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCredentials(Problem):
    """The sign-in failed.

    The text is the same for an unknown account, a wrong password and a deactivated account, so that
    the response does not reveal which accounts exist.
    """

    status = 401
    code = "auth.wrong_credentials"
    headers = {"WWW-Authenticate": "Bearer"}


class TooManyAttempts(Problem):
    """There were too many failed sign-ins within a short time, for an account or an address.

    The response is the same for accounts that do not exist.
    """

    status = 429
    code = "auth.too_many_attempts"

    def __init__(self, *, seconds: int) -> None:
        super().__init__(seconds=seconds)
        self.headers = {"Retry-After": str(seconds)}  # type: ignore[misc]


class WrongPassword(Invalid):
    """The current password in a request to change the account is wrong."""

    code = "account.wrong_password"


class WeakPassword(Invalid):
    """A new password that is too easy to guess."""

    code = "account.weak_password"


class PasswordChangeRequired(Problem):
    """The account must replace its initial password first."""

    status = 403
    code = "auth.password_change_required"


class PermissionDenied(Problem):
    """The caller lacks a permission. The response names it, so that the user can ask for it."""

    status = 403
    code = "auth.permission_denied"


class TotpRequired(Problem):
    """The password is right, but the second factor's code is missing."""

    status = 401
    code = "auth.totp_required"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongTotp(Problem):
    """The password is right, but the code is wrong or has already been used."""

    status = 401
    code = "auth.wrong_totp"
    headers = {"WWW-Authenticate": "Bearer"}


class WrongCode(Invalid):
    """The code in a request to change the second factor is wrong or has already been used."""

    code = "account.wrong_totp"


class TotpActive(Conflict):
    """The account already has a second factor."""

    code = "account.totp_active"


class TotpInactive(Conflict):
    """The account has no second factor, or no enrolment to confirm."""

    code = "account.totp_inactive"


class InvalidLink(Invalid):
    """A link that can't be used.

    Its token is unknown, used, revoked or expired, or its creator no longer has the permissions
    that the link would grant.
    """

    code = "auth.invalid_link"


class RegistrationClosed(Problem):
    """Users can't register, because the setting ``SELF_REGISTRATION`` is off."""

    status = 403
    code = "auth.registration_closed"


class AccountTaken(Conflict):
    """The user name or e-mail address is already in use.

    Callers who are not signed in get this error, so it does not reveal which of the two is in use.
    """

    code = "account.taken"


class OwnRole(Problem):
    """Administrators can't change their own role."""

    status = 403
    code = "account.own_role"


class AccountHoldsMore(Problem):
    """The caller lacks rights that the account has as an owner or member of projects.

    The error names no project, because the caller may not be allowed to see it.
    """

    status = 403
    code = "account.holds_more"


class OwnAccount(Problem):
    """Users can't change their own account through the administration routes.

    The routes under ``users/me`` ask for the password; the administration routes do not.
    """

    status = 403
    code = "account.own_account"


class LastAdministrator(Conflict):
    """The change would leave the platform without an active administrator."""

    code = "account.last_administrator"


class OwnsProjects(Conflict):
    """The account can't be deleted, because it owns projects; ``projects`` lists them."""

    code = "account.owns_projects"


class SessionRequired(Problem):
    """The request requires a session, but was made with an API key."""

    status = 403
    code = "auth.session_required"


class SystemRole(Conflict):
    """The three system roles can't be changed or deleted."""

    code = "role.system_role"


class HeldRole(Problem):
    """The caller can't change a role that they hold themselves.

    Otherwise the caller could extend their own permissions.
    """

    status = 403
    code = "role.held"


class RoleInUse(Conflict):
    """The role can't be deleted, because it is in use.

    ``users``, ``members``, ``invitations`` and ``sso`` count its uses.
    """

    code = "role.in_use"


class SsoOff(Problem):
    """No single sign-on provider is configured on this platform."""

    status = 404
    code = "sso.off"


class SsoFailed(Problem):
    """The sign-in through the provider can't be verified. The log contains the exact cause."""

    status = 401
    code = "sso.failed"
    headers = {"WWW-Authenticate": "Bearer"}


class SsoUnavailable(Problem):
    """The single sign-on provider can't be reached, or its response is invalid."""

    status = 503
    code = "sso.unavailable"


class RoleNameTooLong(Invalid):
    """The name of the role does not fit into the column for an account's role."""

    code = "account.role_name_too_long"


class ProofRequired(Invalid):
    """The request to change the second factor has neither a password nor a code."""

    code = "account.proof_required"


class RedirectRefused(Invalid):
    """The redirect address of the sign-in is neither on this platform nor on the same machine."""

    code = "sso.redirect_refused"


class IncompleteMembership(Invalid):
    """The invitation has a project but no role in it, or vice versa."""

    code = "invitation.incomplete_membership"
