"""What can go wrong with projects and members."""

from aiplatform.server.core.errors import Conflict


class ProjectArchived(Conflict):
    """Archived projects are read-only."""

    code = "project_archived"
    title = {"en": "Project archived", "zh": "项目已归档"}
    detail = {
        "en": "The project is archived and read-only. Reactivate it first.",
        "zh": "项目已归档，只能读取。请先重新启用项目。",
    }


class OwnerIsNoMember(Conflict):
    """The owner holds everything in the project; no role can add to that or take from it."""

    code = "owner_is_no_member"
    title = {"en": "Owner of the project", "zh": "项目所有者"}
    detail = {
        "en": "{username} owns the project and holds all permissions in it.",
        "zh": "{username} 是项目所有者，拥有该项目的全部权限。",
    }


class QuotaExceeded(Conflict):
    """A project has used what it was given."""

    code = "quota_exceeded"
    title = {"en": "Quota exceeded", "zh": "超出配额"}
    detail = {
        "en": "The project's quota of {quota_name} is {limit}; {used} are used and {asked} more "
        "were asked for. {remedy}",
        "zh": "项目的{quota_name}配额为 {limit}，已使用 {used}，本次还需要 {asked}。{remedy}",
    }


class PriorityTooHigh(Conflict):
    """Urgent tasks take room from those of all projects."""

    code = "priority_too_high"
    title = {"en": "Priority is too high", "zh": "优先级过高"}
    detail = {
        "en": "The project's tasks may have priority {limit} at most, not {asked}. Ask for a lower "
        "one, or have who may write the platform's settings (an administrator) raise the limit.",
        "zh": "该项目任务的优先级最高为 {limit}，不能为 {asked}。请降低优先级，"
        "或请有平台设置权限的人（管理员）提高上限。",
    }


class StillUsed(Conflict):
    """Purging would take away what something else stands on."""

    code = "still_used"
    title = {"en": "Still in use", "zh": "仍在使用"}
    detail = {
        "en": "It is still used by: {users}. Delete that first.",
        "zh": "仍被以下对象使用：{users}。请先将其删除。",
    }


class NotAMember(Conflict):
    """Who has no role in the project has none to give up."""

    code = "not_a_member"
    title = {"en": "Not a member", "zh": "不是成员"}
    detail = {
        "en": "You have no role in this project that you could give up.",
        "zh": "您在该项目中没有可以放弃的角色。",
    }


class UnfitOwner(Conflict):
    """An owner must be able to sign in."""

    code = "unfit_owner"
    title = {"en": "Account not active", "zh": "账号未启用"}
    detail = {
        "en": "{username} is deactivated and cannot own a project.",
        "zh": "{username} 已被停用，不能成为项目所有者。",
    }


class NewOwnerIsNoMember(Conflict):
    """Nobody is given a project without having agreed to be in it. The same for unknown names."""

    code = "new_owner_is_no_member"
    title = {"en": "Not a member", "zh": "不是成员"}
    detail = {
        "en": "{username} is not a member of the project {project}. Invite them first, and "
        "transfer the project once they have accepted.",
        "zh": "{username} 不是项目“{project}”的成员。请先发出邀请，待对方接受后再转让项目。",
    }


class InvitationGone(Conflict):
    """An invitation is worth what its maker could give at the moment when it is accepted."""

    code = "invitation_gone"
    title = {"en": "Invitation no longer valid", "zh": "邀请已失效"}
    detail = {
        "en": "Whoever invited you into {project} may not give you this role any more. Ask for "
        "a new invitation.",
        "zh": "邀请您加入 {project} 的人已无权授予该角色，请索取新的邀请。",
    }


class TooManyInvitations(Conflict):
    """More open invitations than a project needs."""

    code = "too_many_invitations"
    title = {"en": "Too many invitations", "zh": "邀请数量过多"}
    detail = {
        "en": "A project has at most {limit} open invitations. Withdraw one first: "
        "`aiplatform projects revoke PROJECT USER`.",
        "zh": "每个项目最多有 {limit} 个未处理的邀请，请先撤回一个："
        "`aiplatform projects revoke PROJECT USER`。",
    }


class OwnerInactive(Conflict):
    """What somebody ordered is not done while they may do nothing themselves."""

    code = "owner_inactive"
    title = {"en": "The owner is deactivated", "zh": "所有者账号已停用"}
    detail = {
        "en": "The account of whoever ordered this, {username}, is deactivated or deleted, and "
        "nothing is done in its name.",
        "zh": "下达该任务的账号 {username} 已停用或删除，不会再以其名义执行操作。",
    }


class KeyGone(Conflict):
    """Work that was ordered with an API key ends with that key."""

    code = "key_gone"
    title = {"en": "The API key is no longer valid", "zh": "API 密钥已失效"}
    detail = {
        "en": "This was ordered with an API key that has been revoked or has expired. Order it "
        "again, signed in or with another key: for a schedule, save it once more.",
        "zh": "该操作由一个已被吊销或已过期的 API 密钥下达。请登录后或使用其他密钥重新下达；"
        "对于计划任务，请重新保存一次。",
    }
