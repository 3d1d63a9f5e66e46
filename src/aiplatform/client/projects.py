"""Projects, their members, and their bin."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform.client.base import (
    Group,
    Pages,
    Resource,
    as_uuid,
    find_by_name,
    name_of,
    purge_time,
)
from aiplatform.client.errors import AmbiguousName, NotFound
from aiplatform.client.transport import decoded, segment
from aiplatform.language import tr
from aiplatform.protocol.shapes.projects import (
    AccessOut,
    BinItemOut,
    MemberOut,
    ProjectInvitationOut,
    ProjectOut,
    ProjectUsageOut,
    RestoredOut,
)
from aiplatform.protocol.shapes.tasks import RetentionOut

MY_INVITATIONS_PATH = "users/me/project-invitations"
ACCEPTED = 202


class Project(Resource, ProjectOut):
    """A project, with its datasets, tasks, models and deployments.

    Projects are the boundary between tenants.
    """

    def update(self, **changes: Any) -> "Project":
        """Change the name, description, status, config or tags."""
        return Projects(self._client).update(self, **changes)

    def archive(self) -> "Project":
        """Make the project read-only; its tasks are cancelled and its deployments stop."""
        return Projects(self._client).archive(self)

    def unarchive(self) -> "Project":
        """Make the project writable again."""
        return Projects(self._client).unarchive(self)

    def usage(self) -> "Usage":
        """Return the project's quotas, and how much of each it uses."""
        return Projects(self._client).usage(self)

    def delete(self) -> datetime | None:
        """Delete the project with everything in it.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
        return Projects(self._client).delete(self)


class Retention(Resource, RetentionOut):
    """The retention policy of a project, and the data that the next cleanup will delete.

    Days are counted from the end of a task; None keeps the data forever. ``checkpoints_last`` and
    ``checkpoints_best`` are numbers of checkpoints to keep.
    """

    frees: dict[str, int] = {}  # type: ignore[assignment]


class Member(Resource, MemberOut):
    """A user's role in a project."""


class ProjectInvitation(Resource, ProjectInvitationOut):
    """An open invitation to become a member of a project."""

    def accept(self) -> None:
        """Accept the invitation and become a member of the project."""
        Projects(self._client).accept(self)

    def decline(self) -> None:
        """Decline the invitation."""
        Projects(self._client).decline(self)


class Access(Resource, AccessOut):
    """The permissions of a user in a project, with their sources."""


class Usage(Resource, ProjectUsageOut):
    """The quotas of a project, and how much of each it uses.

    ``max_priority`` is the highest priority that the project's tasks may have.
    """


ProjectLike = Project | UUID | str
"""A project, its uuid, or its name."""


class Projects(Group):
    """The operations on projects (``client.projects``)."""

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> Project:
        """Create a project; the caller becomes its owner."""
        body = {"name": name, "description": description, "config": config, "tags": list(tags)}
        given = {key: value for key, value in body.items() if value is not None}
        return self._make(Project, self._http.post("projects", given))

    def get(self, project: ProjectLike) -> Project:
        """Read a project, by uuid or name."""
        return self._get(Project, self.path(project))

    def get_or_create(self, name: str, *, description: str | None = None) -> Project:
        """Return the project with this name, creating it if necessary."""
        for project in self._pages(Project, "projects", name=name):
            if project.name == name:
                return project
        return self.create(name, description=description)

    def update(self, project: ProjectLike, **changes: Any) -> Project:
        """Change the name, description, status, config or tags."""
        return self._patch(Project, self.path(project), project, changes)

    def archive(self, project: ProjectLike) -> Project:
        """Make a project read-only; its tasks are cancelled and its deployments stop."""
        return self._make(Project, self._http.post(f"{self.path(project)}/archive"))

    def unarchive(self, project: ProjectLike) -> Project:
        """Make an archived project writable again; its tasks and deployments remain stopped."""
        return self._make(Project, self._http.post(f"{self.path(project)}/unarchive"))

    def usage(self, project: ProjectLike | None = None) -> Usage:
        """Return a project's quotas, and how much of each it uses."""
        return self._make(Usage, self._http.get(f"{self.path(project)}/usage"))

    def retention(self, project: ProjectLike | None = None) -> Retention:
        """Return the retention policy of a project, and the data that the next cleanup will delete.

        The policy is ``config["retention"]`` of the project: ``log_days``, ``telemetry_days``,
        ``checkpoint_days`` (None keeps the data forever), ``checkpoints_last`` and
        ``checkpoints_best``.
        """
        return self._make(Retention, self._http.get(f"{self.path(project)}/retention"))

    def set_quota(
        self,
        project: ProjectLike,
        *,
        storage_bytes: int | None = None,
        concurrent_tasks: int | None = None,
        gpus: int | None = None,
        max_priority: int | None = None,
    ) -> Usage:
        """Replace the limits of a project; for administrators.

        Omitted limits are set to the platform's defaults. ``max_priority``, from 5 to 10, is the
        highest priority of the project's tasks.
        """
        body = {
            "storage_bytes": storage_bytes,
            "concurrent_tasks": concurrent_tasks,
            "gpus": gpus,
            "max_priority": max_priority,
        }
        response = self._http.request("PUT", f"{self.path(project)}/quota", json=body)
        return self._make(Usage, decoded(response))

    def delete(self, project: ProjectLike) -> datetime | None:
        """Delete a project with everything in it.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
        return purge_time(self._http.request("DELETE", self.path(project)))

    def members(self, project: ProjectLike, *, limit: int | None = None) -> Pages[Member]:
        """List the members of a project with their roles."""
        return self._pages(Member, f"{self.path(project)}/members", limit=limit)

    def set_member(
        self, project: ProjectLike, user: UUID | str, role: str
    ) -> ProjectInvitation | None:
        """Give a user, named by uuid or username, a role in the project.

        Returns:
            The invitation if the user has to accept it first; None if the role is already
            effective.
        """
        path = f"{self.path(project)}/members/{segment(user)}"
        response = self._http.request("PUT", path, json={"role": role})
        if response.status_code != ACCEPTED:
            return None
        return self._make(ProjectInvitation, decoded(response))

    def invitations(
        self, project: ProjectLike | None = None, *, limit: int | None = None
    ) -> Pages[ProjectInvitation]:
        """List your open invitations to projects, or the open invitations of ``project``."""
        path = MY_INVITATIONS_PATH if project is None else f"{self.path(project)}/invitations"
        return self._pages(ProjectInvitation, path, limit=limit)

    def accept(self, invitation: ProjectInvitation | UUID | str) -> None:
        """Accept an invitation, given as an object, its uuid, or the name of the project.

        Raises:
            NotFound: if you have no such invitation.
        """
        self._http.post(f"{MY_INVITATIONS_PATH}/{self._invitation(invitation)}/accept")

    def decline(self, invitation: ProjectInvitation | UUID | str) -> None:
        """Decline an invitation, given as an object, its uuid, or the name of the project.

        Raises:
            NotFound: if you have no such invitation.
        """
        self._http.post(f"{MY_INVITATIONS_PATH}/{self._invitation(invitation)}/decline")

    def _invitation(self, invitation: ProjectInvitation | UUID | str) -> UUID:
        if isinstance(invitation, ProjectInvitation):
            return invitation.uuid
        uuid = as_uuid(invitation)
        if uuid is not None:
            return uuid
        named = [each for each in self.invitations() if each.project_name == invitation]
        if len(named) > 1:
            error = AmbiguousName(
                tr("several projects named {invitation!r} invite you", invitation=invitation)
            )
            error.hint = tr(
                "Name one by its uuid: {uuids}.", uuids=", ".join(str(each.uuid) for each in named)
            )
            raise error
        if not named:
            raise NotFound(
                tr(
                    "you have no invitation to a project named {invitation!r}",
                    invitation=invitation,
                )
            )
        return named[0].uuid

    def remove_member(self, project: ProjectLike, user: UUID | str) -> None:
        """Remove a user from a project, or withdraw their invitation."""
        self._http.request("DELETE", f"{self.path(project)}/members/{segment(user)}")

    def leave(self, project: ProjectLike) -> None:
        """Leave a project. You lose your role in it."""
        self._http.post(f"{self.path(project)}/leave")

    def transfer(
        self, project: ProjectLike, user: UUID | str, *, keep_role: str | None = None
    ) -> Project:
        """Make another user the owner; you keep the role ``keep_role``, or leave the project."""
        body: dict[str, Any] = {"user": str(user), "keep_role": keep_role}
        return self._make(Project, self._http.post(f"{self.path(project)}/transfer", body))

    def access(self, project: ProjectLike, user: UUID | str | None = None) -> Access:
        """Return the permissions that a user has in a project, with their sources.

        Without ``user``, return your own permissions, which every member may read.
        """
        if user is None:
            return self._get(Access, f"{self.path(project)}/access/me")
        return self._make(Access, self._http.get(f"{self.path(project)}/access", user=str(user)))

    def path(self, project: ProjectLike | None) -> str:
        """Return the path of the project in the API."""
        return f"projects/{self.resolve(project)}"

    def resolve(self, project: ProjectLike | None) -> UUID:
        """Return the uuid of a project; for ``None``, of the client's default or your only project.

        Raises:
            NotFound: if no project has this name.
            AmbiguousName: if no project is named and you have several projects, or none.
        """
        meant = project if project is not None else self._client.project
        if isinstance(meant, ProjectOut):
            return meant.uuid
        if meant is not None:
            uuid = as_uuid(meant)
            if uuid is not None:
                return uuid
            return find_by_name(self.list, str(meant), "project", "of yours").uuid
        mine = self.list().take(10)
        if len(mine) == 1:
            return mine[0].uuid
        error = AmbiguousName(tr("no project is chosen") if mine else tr("you have no project yet"))
        error.hint = (
            tr(
                "Name one with --project or AIPLATFORM_PROJECT, or choose one with `aiplatform "
                "projects use NAME`: {names}.",
                names=", ".join(p.name for p in mine),
            )
            if mine
            else tr("Create one: `aiplatform projects create NAME`.")
        )
        raise error

    def list(self, *, limit: int | None = None, **filters: Any) -> Pages[Project]:
        """List all projects that you may see."""
        return self._pages(Project, "projects", limit=limit, **filters)


class BinItem(Resource, BinItemOut):
    """A deleted object that can be restored until ``purge_after``.

    Its ``bytes`` still count towards quotas.
    """


class Restored(Resource, RestoredOut):
    """An object restored from the bin, with its new name."""


BinItemLike = BinItem | UUID | str
"""An item in the bin, its uuid, its name, or ``name@version``."""


class Bin(Group):
    """The operations on the bin (``client.bin``), for datasets, models and projects."""

    def list(
        self, project: ProjectLike | None = None, *, limit: int | None = None
    ) -> Pages[BinItem]:
        """List the deleted datasets and models of a project."""
        return self._pages(BinItem, f"{Projects(self._client).path(project)}/bin", limit=limit)

    def projects(self, *, limit: int | None = None) -> Pages[BinItem]:
        """List the deleted projects that you may restore."""
        return self._pages(BinItem, "bin", limit=limit)

    def restore(
        self,
        item: BinItemLike,
        *,
        project: ProjectLike | None = None,
        name: str | None = None,
    ) -> Restored:
        """Restore a dataset or model, by default under its old name if that is still free."""
        path = f"{Projects(self._client).path(project)}/bin/{self._item(item, project)}/restore"
        return self._make(Restored, self._http.post(path, _named(name)))

    def purge(self, item: BinItemLike, *, project: ProjectLike | None = None) -> None:
        """Delete a dataset or model from the bin permanently."""
        path = f"{Projects(self._client).path(project)}/bin/{self._item(item, project)}"
        self._http.request("DELETE", path)

    def restore_project(self, item: BinItemLike, *, name: str | None = None) -> Restored:
        """Restore a project with everything that was in it; its tasks remain cancelled."""
        path = f"bin/{self._project(item)}/restore"
        return self._make(Restored, self._http.post(path, _named(name)))

    def purge_project(self, item: BinItemLike) -> None:
        """Delete a project from the bin permanently, with everything that belongs to it."""
        self._http.request("DELETE", f"bin/{self._project(item)}")

    def _item(self, item: BinItemLike, project: ProjectLike | None) -> UUID:
        if isinstance(item, BinItem):
            return item.uuid
        uuid = as_uuid(item)
        if uuid is not None:
            return uuid
        get_name = _with_version if "@" in str(item) else name_of
        everything = self.list(project)
        return find_by_name(
            lambda **_: everything, str(item), "deleted thing", "in the bin", get_name
        ).uuid

    def _project(self, item: BinItemLike) -> UUID:
        if isinstance(item, BinItem):
            return item.uuid
        return (
            as_uuid(item)
            or find_by_name(
                lambda **_: self.projects(), str(item), "deleted project", "in the bin"
            ).uuid
        )


def _with_version(item: BinItem) -> str:
    return item.name if item.version is None else f"{item.name}@{item.version}"


def _named(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"name": name}
