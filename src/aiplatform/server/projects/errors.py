"""Errors about projects, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ProjectArchived(Conflict):
    """The project is archived, and therefore read-only."""

    code = "project.archived"


class OwnerHasNoRole(Conflict):
    """The owner's role can't be changed. Owners have all permissions without a role."""

    code = "project.owner_has_no_role"


class QuotaExceeded(Conflict):
    """The request would exceed the project's quota."""

    code = "project.quota_exceeded"


class PriorityTooHigh(Conflict):
    """The priority of the task is higher than the project's quota allows.

    Urgent tasks take resources from the tasks of all projects.
    """

    code = "project.priority_too_high"


class StillUsed(Conflict):
    """The resource can't be purged, because it is still in use elsewhere."""

    code = "bin.still_used"


class NotAMember(Conflict):
    """The user has no role in the project that they want to leave."""

    code = "project.not_a_member"


class NewOwnerInactive(Conflict):
    """The new owner's account is deactivated and could not sign in."""

    code = "project.new_owner_inactive"


class NewOwnerNotAMember(Conflict):
    """The new owner is not a member, and so has not agreed to be in the project.

    Unknown names get the same response.
    """

    code = "project.new_owner_not_a_member"


class InvitationGone(Conflict):
    """The author of the invitation can no longer grant the role."""

    code = "invitation.gone"


class TooManyInvitations(Conflict):
    """The project already has the maximum number of open invitations."""

    code = "invitation.too_many"


class OwnerInactive(Conflict):
    """The user on whose behalf the work was to be done is deactivated or deleted."""

    code = "account.inactive"


class KeyGone(Conflict):
    """The API key that requested the work has since been revoked or has expired."""

    code = "api_key.gone"


class ScopeOutsideProject(Invalid):
    """The scope can't be granted to an API key that is limited to a project."""

    code = "api_key.scope_outside_project"


class TooManyKeys(Invalid):
    """The account already has the maximum number of API keys."""

    code = "api_key.too_many"


class TooManyViews(Conflict):
    """The user already has the maximum number of saved views in the project."""

    code = "saved_view.too_many"
