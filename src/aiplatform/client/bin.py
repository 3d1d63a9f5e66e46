"""The bin: deleted projects, datasets and models, which can be restored or purged."""

from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource, as_uuid, find_by_name, name_of
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.shapes.projects import BinItemOut, RestoredOut


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
        """Delete a dataset or model from the bin for good."""
        path = f"{Projects(self._client).path(project)}/bin/{self._item(item, project)}"
        self._http.request("DELETE", path)

    def restore_project(self, item: BinItemLike, *, name: str | None = None) -> Restored:
        """Restore a project with everything that was in it; its tasks remain cancelled."""
        path = f"bin/{self._project(item)}/restore"
        return self._make(Restored, self._http.post(path, _named(name)))

    def purge_project(self, item: BinItemLike) -> None:
        """Delete a project from the bin for good, with everything that belongs to it."""
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
