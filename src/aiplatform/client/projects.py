"""Projects and their members."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource, UserRef, as_uuid, only
from aiplatform.client.errors import AmbiguousName
from aiplatform.client.paging import Pages
from aiplatform.client.transport import segment
from aiplatform.protocol.enums import ProjectStatus


class Project(Resource):
    """The tenant boundary: datasets, tasks, models and deployments belong to one."""

    uuid: UUID
    name: str
    description: str | None = None
    status: ProjectStatus = ProjectStatus.ACTIVE
    owner: UserRef | None = None
    config: dict[str, Any] = {}
    tags: list[Any] = []
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def update(self, **changes: Any) -> "Project":
        """Change name, description, status, config or tags."""
        return self.client.projects.update(self, **changes)

    def delete(self) -> None:
        """Delete the project and all that belongs to it."""
        self.client.projects.delete(self)


class Member(Resource):
    """A person's role in a project."""

    user: UserRef
    role: str
    created_at: datetime | None = None


ProjectLike = Project | UUID | str
"""A project, its uuid, or its name."""


class Projects(Group):
    """``client.projects``."""

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> Project:
        """Create a project; the caller owns it."""
        body = {"name": name, "description": description, "config": config, "tags": list(tags)}
        given = {key: value for key, value in body.items() if value is not None}
        return self._make(Project, self._http.post("projects", given))

    def get(self, project: ProjectLike) -> Project:
        """Read one, by uuid or name."""
        return self._get(Project, self.path(project))

    def get_or_create(self, name: str, *, description: str | None = None) -> Project:
        """The project of that name, created when it is missing."""
        for project in self._pages(Project, "projects", name=name):
            if project.name == name:
                return project
        return self.create(name, description=description)

    def update(self, project: ProjectLike, **changes: Any) -> Project:
        """Change name, description, status, config or tags."""
        return self._patch(Project, self.path(project), project, changes)

    def delete(self, project: ProjectLike) -> None:
        """Delete the project and all that belongs to it."""
        self._http.request("DELETE", self.path(project))

    def members(self, project: ProjectLike) -> Pages[Member]:
        """Who may do what in it."""
        return self._pages(Member, f"{self.path(project)}/members")

    def set_member(self, project: ProjectLike, user: UUID | str, role: str) -> None:
        """Give a person, named by uuid or username, a role in the project."""
        path = f"{self.path(project)}/members/{segment(user)}"
        self._http.request("PUT", path, json={"role": role})

    def remove_member(self, project: ProjectLike, user: UUID | str) -> None:
        """Take a person's role in the project away."""
        self._http.request("DELETE", f"{self.path(project)}/members/{segment(user)}")

    def path(self, project: ProjectLike | None) -> str:
        """Where the project lives in the API."""
        return f"projects/{self.resolve(project)}"

    def resolve(self, project: ProjectLike | None) -> UUID:
        """The uuid that is meant; with ``None`` the client's default, or the only one there is.

        Raises:
            NotFound: when no project has the name.
            AmbiguousName: when none is named and there are several, or none.
        """
        meant = project if project is not None else self._client.project
        if isinstance(meant, Project):
            return meant.uuid
        if meant is not None:
            uuid = as_uuid(meant)
            if uuid is not None:
                return uuid
            return only(self.list, str(meant), "project", "of yours").uuid
        mine = self.list().take(10)
        if len(mine) == 1:
            return mine[0].uuid
        error = AmbiguousName("which project?" if mine else "you have no project yet")
        error.hint = (
            f"Name one with --project or AIPLATFORM_PROJECT: {', '.join(p.name for p in mine)}."
            if mine
            else "Create one: `aiplatform projects create NAME`."
        )
        raise error

    def list(self, **filters: Any) -> Pages[Project]:
        """All projects that you may see."""
        return self._pages(Project, "projects", **filters)
