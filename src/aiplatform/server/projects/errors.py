"""Errors about projects, as clients receive them."""

from aiplatform.server.core.errors import Conflict, Invalid


class ProjectArchived(Conflict):
    """A change in an archived project, which is read-only."""

    code = "project.archived"


class OwnerHasNoRole(Conflict):
    """A change of the owner's role. Owners have all permissions without a role."""

    code = "project.owner_has_no_role"


class QuotaExceeded(Conflict):
    """A request that would exceed the project's quota."""

    code = "project.quota_exceeded"


class PriorityTooHigh(Conflict):
    """A task with a higher priority than the project's quota allows.

    Urgent tasks take resources from the tasks of all projects.
    """

    code = "project.priority_too_high"


class StillUsed(Conflict):
    """A purge of a resource that is still in use elsewhere."""

    code = "bin.still_used"


class NotAMember(Conflict):
    """An attempt to leave a project by a user who has no role in it."""

    code = "project.not_a_member"


class NewOwnerInactive(Conflict):
    """A transfer to a deactivated account, which could not sign in."""

    code = "project.new_owner_inactive"


class NewOwnerNotAMember(Conflict):
    """A transfer to a user who is not a member and so has not agreed to be in the project.

    Unknown names get the same response.
    """

    code = "project.new_owner_not_a_member"


class InvitationGone(Conflict):
    """An invitation whose author can no longer grant the role."""

    code = "invitation.gone"


class TooManyInvitations(Conflict):
    """An invitation beyond a project's maximum number of open invitations."""

    code = "invitation.too_many"


class OwnerInactive(Conflict):
    """Work on behalf of a user who is deactivated or deleted."""

    code = "account.inactive"


class KeyGone(Conflict):
    """Work that was requested with an API key that has since been revoked or has expired."""

    code = "api_key.gone"


class ScopeOutsideProject(Invalid):
    """A project's API key with a scope that can't be granted within a project."""

    code = "api_key.scope_outside_project"


class TooManyKeys(Invalid):
    """An API key beyond an account's maximum number of keys."""

    code = "api_key.too_many"
