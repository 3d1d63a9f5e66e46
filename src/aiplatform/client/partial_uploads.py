"""Resumable uploads: ``client.datasets.uploads``, ``cancel_upload``."""

from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.shapes.datasets import UploadOut


class PartialUpload(Resource, UploadOut):
    """A resumable upload, which is sent in pieces; sizes are in bytes.

    ``name`` is set if the upload creates a dataset, ``dataset`` if it adds a version to an existing
    one. ``status`` is ``receiving``, then ``committed`` or ``refused``; ``result`` gives details.
    """

    def cancel(self) -> None:
        """Cancel the upload; see :meth:`PartialUploads.cancel_upload`."""
        PartialUploads(self._client).cancel_upload(self)


class PartialUploads(Group):
    """The methods of ``client.datasets`` for resumable uploads."""

    def uploads(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[PartialUpload]:
        """List the resumable uploads in progress, and those that ended within the last day."""
        path = f"{Projects(self._client).path(project)}/uploads"
        return self._pages(PartialUpload, path, limit=limit)

    def cancel_upload(self, upload: PartialUpload | UUID | str) -> None:
        """Cancel an upload and delete the received data. A dataset that it already created is kept.

        Raises:
            NotFound: if there is no upload with this uuid.
        """
        uuid = upload.uuid if isinstance(upload, PartialUpload) else UUID(str(upload))
        self._http.request("DELETE", f"uploads/{uuid}")
