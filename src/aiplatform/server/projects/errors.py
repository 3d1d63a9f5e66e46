"""Problems that the project routes answer with."""

from aiplatform.server.core.errors import Conflict


class ProjectArchived(Conflict):
    """A change in an archived project, which is read-only."""

    code = "project_archived"
    title = {"en": "Project archived", "zh": "项目已归档"}
    detail = {
        "en": "The project is archived and read-only. Unarchive it first (`aiplatform "
        "projects unarchive`).",
        "zh": "项目已归档，只能读取。请先取消归档（`aiplatform projects unarchive`）。",
    }


class OwnerHasNoRole(Conflict):
    """A change of the owner's role: owners have all permissions without a role."""

    code = "owner_is_no_member"
    title = {"en": "Owner of the project", "zh": "项目所有者"}
    detail = {
        "en": "{username} owns the project and has all permissions in it, so no role is "
        "needed. To change that, transfer the project.",
        "zh": "{username} 是项目所有者，拥有该项目的全部权限，无需角色。如需改变，请转让项目。",
    }


class QuotaExceeded(Conflict):
    """A request that would exceed the project's quota."""

    code = "quota_exceeded"
    title = {"en": "Quota exceeded", "zh": "超出配额"}
    detail = {
        "en": "The project's quota for {quota_name} is {limit}. {used} are in use, and this "
        "needs {asked} more. {remedy}",
        "zh": "项目的{quota_name}配额为 {limit}，已使用 {used}，本次还需要 {asked}。{remedy}",
    }


class PriorityTooHigh(Conflict):
    """A task with a higher priority than the project's quota allows.

    Urgent tasks take resources from the tasks of all projects.
    """

    code = "priority_too_high"
    title = {"en": "Priority is too high", "zh": "优先级过高"}
    detail = {
        "en": "Tasks of this project may have at most priority {limit}, not {asked}. Choose a "
        "lower priority, or ask an administrator to raise the limit.",
        "zh": "该项目任务的优先级最高为 {limit}，不能为 {asked}。请降低优先级，"
        "或请管理员提高上限。",
    }


class StillUsed(Conflict):
    """A purge of something that is still in use elsewhere."""

    code = "still_used"
    title = {"en": "Still in use", "zh": "仍在使用"}
    detail = {
        "en": "It is still used by: {users}. Delete these first.",
        "zh": "仍被以下对象使用：{users}。请先将其删除。",
    }


class NotAMember(Conflict):
    """An attempt to leave a project by a user who has no role in it."""

    code = "not_a_member"
    title = {"en": "Not a member", "zh": "不是成员"}
    detail = {
        "en": "You have no role in this project, so there is nothing to give up.",
        "zh": "您在该项目中没有可以放弃的角色。",
    }


class NewOwnerInactive(Conflict):
    """A transfer to a deactivated account, which could not sign in."""

    code = "unfit_owner"
    title = {"en": "Account not active", "zh": "账号未启用"}
    detail = {
        "en": "{username} is deactivated and can't own a project. Choose another member.",
        "zh": "{username} 已被停用，不能成为项目所有者。请选择其他成员。",
    }


class NewOwnerNotAMember(Conflict):
    """A transfer to a user who is not a member, and so has not agreed to be in the project.

    Unknown names get the same answer.
    """

    code = "new_owner_is_no_member"
    title = {"en": "Not a member", "zh": "不是成员"}
    detail = {
        "en": "{username} is not a member of the project {project}. Invite them first, and "
        "transfer the project once they have accepted.",
        "zh": "{username} 不是项目“{project}”的成员。请先发出邀请，待对方接受后再转让项目。",
    }


class InvitationGone(Conflict):
    """An invitation whose author can no longer grant the role."""

    code = "invitation_gone"
    title = {"en": "Invitation no longer valid", "zh": "邀请已失效"}
    detail = {
        "en": "The person who invited you to {project} can no longer grant this role. Ask for "
        "a new invitation.",
        "zh": "邀请您加入 {project} 的人已无权授予该角色，请索取新的邀请。",
    }


class TooManyInvitations(Conflict):
    """An invitation beyond the maximum number of open invitations of a project."""

    code = "too_many_invitations"
    title = {"en": "Too many invitations", "zh": "邀请数量过多"}
    detail = {
        "en": "A project has at most {limit} open invitations. Withdraw one first: "
        "`aiplatform projects revoke PROJECT USER`.",
        "zh": "每个项目最多有 {limit} 个未处理的邀请，请先撤回一个："
        "`aiplatform projects revoke PROJECT USER`。",
    }


class OwnerInactive(Conflict):
    """Work in the name of a user who is deactivated or deleted."""

    code = "owner_inactive"
    title = {"en": "The owner is deactivated", "zh": "所有者账号已停用"}
    detail = {
        "en": "{username}, who requested this, is deactivated or deleted, and nothing is done "
        "in their name. Somebody else must request it.",
        "zh": "发起该操作的账号 {username} 已停用或删除，不会再以其名义执行操作。"
        "请由他人重新发起。",
    }


class KeyGone(Conflict):
    """Work that was requested with an API key which is revoked or expired by now."""

    code = "key_gone"
    title = {"en": "The API key is no longer valid", "zh": "API 密钥已失效"}
    detail = {
        "en": "This was requested with an API key that was revoked or has expired. Request it "
        "again after login, or with another key. Save a schedule again.",
        "zh": "该操作由一个已被吊销或已过期的 API 密钥发起。请登录后或使用其他密钥重新发起；"
        "对于定时计划，请重新保存一次。",
    }
