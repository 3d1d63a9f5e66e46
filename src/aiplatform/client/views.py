"""Saved views: the filters, order and columns of lists in the web interface."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.enums import ListPage
from aiplatform.protocol.shapes.projects import SavedViewOut


class SavedView(Resource, SavedViewOut):
    """The filters, order and columns of a list, saved under a name."""

    def update(self, **changes: Any) -> "SavedView":
        """Change the view; see :meth:`Views.update`."""
        return Views(self._client).update(self, **changes)

    def delete(self) -> None:
        """Delete the view."""
        Views(self._client).delete(self)


SavedViewLike = SavedView | UUID | str
"""A saved view, its uuid, or its name."""


class Views(Group):
    """The operations on saved views (``client.views``): your own, and those shared with you."""

    def create(
        self,
        name: str,
        page: ListPage | str,
        state: Mapping[str, Any],
        *,
        shared: bool = False,
        project: ProjectLike | None = None,
    ) -> SavedView:
        """Save the query parameters of a page's address as a named view.

        For example::

            client.views.create("Failed trainings", "tasks",
                                {"status": "failed", "type": "training"}, shared=True)
        """
        body = {"name": name, "page": str(page), "state": dict(state), "shared": shared}
        return self._make(SavedView, self._http.post(self._place(project), body))

    def get(self, view: SavedViewLike, *, project: ProjectLike | None = None) -> SavedView:
        """Read a view, by uuid or by its name in a project."""
        return self._get(SavedView, self.path(view, project))

    def list(
        self,
        *,
        page: ListPage | str | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[SavedView]:
        """List your own and the shared views of a project, newest first.

        Args:
            page: only views of this list: datasets, experiments, models, runs or tasks.
            project: the project; by default that of the client.
            limit: the largest number of views.
        """
        wanted = None if page is None else str(page)
        return self._pages(SavedView, self._place(project), page=wanted, limit=limit)

    def update(
        self, view: SavedViewLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> SavedView:
        """Change the ``name``, ``state`` or ``shared`` field."""
        return self._patch(SavedView, self.path(view, project), view, changes)

    def delete(self, view: SavedViewLike, *, project: ProjectLike | None = None) -> None:
        """Delete a view."""
        self._http.request("DELETE", self.path(view, project))

    def path(self, view: SavedViewLike, project: ProjectLike | None = None) -> str:
        """Return the path of the view in the API."""
        if isinstance(view, SavedView):
            return f"projects/{view.project}/views/{view.uuid}"
        uuid = as_uuid(view)
        if uuid is None:
            # The API has no filter by name: a user has few views.
            uuid = find_by_name(
                lambda **_: self.list(project=project), str(view), "saved view", "in this project"
            ).uuid
        return f"{self._place(project)}/{uuid}"

    def _place(self, project: ProjectLike | None) -> str:
        return f"{Projects(self._client).path(project)}/views"
