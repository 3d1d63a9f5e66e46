"""Uploads in pieces that are under way: ``client.datasets.uploads``, ``cancel_upload``."""

from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike


class PartialUpload(Resource):
    """An upload in pieces; sizes in bytes.

    ``name`` is that of the dataset it will be, or ``dataset`` the one it will be a version of.
    ``status``: ``receiving``, then ``committed`` or ``refused``, which ``result`` explains.
    """

    uuid: UUID
    name: str | None = None
    dataset: UUID | None = None
    filename: str | None = None
    length: int = 0
    offset: int = 0
    status: str = "receiving"
    result: dict[str, Any] | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None

    def cancel(self) -> None:
        """Give it up, see :meth:`DatasetUploads.cancel_upload`."""
        self.client.datasets.cancel_upload(self)


class DatasetUploads(Group):
    """What of ``client.datasets`` is about uploads that were broken off."""

    def uploads(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[PartialUpload]:
        """Uploads in pieces that are under way, and for a day those that have ended."""
        path = f"{self._client.projects.path(project)}/uploads"
        return self._pages(PartialUpload, path, limit=limit)

    def cancel_upload(self, upload: PartialUpload | UUID | str) -> None:
        """Give an upload up: what has arrived goes. A dataset that was made of it stays.

        Raises:
            NotFound: when there is none of this uuid.
        """
        uuid = upload.uuid if isinstance(upload, PartialUpload) else UUID(str(upload))
        self._http.request("DELETE", f"uploads/{uuid}")
