"""Resumable uploads, which continue after a connection error, a restart, or a new login."""

import base64
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from platformdirs import user_cache_path

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.errors import ApiError, NotFound, ServerUnavailable
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transfers import Body, ProgressCallback
from aiplatform.client.transport import as_text
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.shapes.datasets import UploadOut

PIECE_BYTES = 32 << 20
READ_BYTES = 1 << 20
RESUMABLE_BYTES = 64 << 20
MAX_FAILURES = 8
"""Largest number of consecutive failures without progress before an upload is given up."""

GONE, LOCKED = 410, 423


class ResumableUploads(Group):
    """A client for the tus protocol for resumable uploads."""

    def send_file(
        self,
        project_path: str,
        path: Path,
        facts: Mapping[str, Any],
        *,
        progress: ProgressCallback | None = None,
        piece_bytes: int | None = None,
    ) -> dict[str, Any]:
        """Upload a file, or continue an earlier upload of it.

        Args:
            project_path: the path of the project in the API.
            path: the file; it must not change during the upload.
            facts: the request parameters, the same as for an upload in a single request.
            progress: called with the bytes sent and the total bytes.
            piece_bytes: the size of the pieces in bytes.

        Returns:
            The new ``dataset`` and ``version``.

        Raises:
            ApiError: if the server rejects the file or the user, or can't be reached. The same
                call within a day continues the upload.
        """
        piece_bytes = piece_bytes or PIECE_BYTES
        note = _note_path(self._http.url, project_path, path, facts)
        size = path.stat().st_size
        uuid, offset = self._find_unfinished(note)
        if uuid is None:
            uuid = self._create(project_path, size, facts)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(str(uuid))
        upload_path = f"uploads/{uuid}"
        failures = 0
        while True:
            try:
                if offset < size or not size:
                    offset = self._send(upload_path, path, offset, size, piece_bytes, progress)
                shown = self._http.get(upload_path)
                if shown["status"] == "committed":
                    note.unlink(missing_ok=True)
                    return dict(shown["result"])
                # Everything has been received, but the server stopped before it processed the file.
                if shown["offset"] == size:
                    self._send(upload_path, path, size, size, piece_bytes, None)
                failures = 0
            except ApiError as error:
                failures += 1
                if not is_temporary(error) or failures > MAX_FAILURES:
                    # Keep the note: after a new login, or once there is space again, the same call
                    # continues the upload. After a refusal, the next call starts a new upload.
                    raise
                time.sleep(min(0.2 * 2**failures, 10))
                before, offset = offset, self._offset(upload_path, offset)
                if offset > before:
                    failures = 0

    def _create(self, project_path: str, size: int, facts: Mapping[str, Any]) -> UUID:
        headers = {"Upload-Length": str(size), "Upload-Metadata": _metadata(facts)}
        answer = self._http.request("POST", f"{project_path}/uploads", headers=headers)
        return UUID(answer.headers["Location"].rpartition("/")[2])

    def _find_unfinished(self, note: Path) -> tuple[UUID | None, int]:
        try:
            uuid = UUID(note.read_text())
            shown = self._http.get(f"uploads/{uuid}")
        except (OSError, ValueError, NotFound):
            return None, 0
        except ApiError as error:
            if error.status != GONE:
                raise
            return None, 0
        return (None, 0) if shown["status"] == "refused" else (uuid, int(shown["offset"]))

    def _offset(self, upload_path: str, default: int) -> int:
        try:
            return int(self._http.request("HEAD", upload_path).headers["Upload-Offset"])
        except ServerUnavailable:
            return default

    def _send(
        self,
        upload_path: str,
        path: Path,
        offset: int,
        size: int,
        piece_bytes: int,
        progress: ProgressCallback | None,
    ) -> int:
        end = min(offset + piece_bytes, size)
        digest = hashlib.sha256()
        for chunk in _chunks(path, offset, end):
            digest.update(chunk)
        headers = {
            "Content-Type": "application/offset+octet-stream",
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {base64.b64encode(digest.digest()).decode()}",
        }
        body = Body(lambda: _chunks(path, offset, end), end - offset, True, None)
        self._http.upload("PATCH", upload_path, body, headers=headers)
        if progress:
            progress(end, size)
        return end


def file_to_resume(data: object, resumable: bool | None) -> Path | None:
    """Return the file to send in pieces, or None to send the data in one request.

    Raises:
        TypeError: if ``resumable`` is set for data that is not a file on disk.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        large = resumable is None and path.stat().st_size >= RESUMABLE_BYTES
        return path if resumable or large else None
    if resumable:
        raise TypeError("only a file on disk can be sent in pieces; give its path")
    return None


def _chunks(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            chunk = file.read(min(READ_BYTES, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk


def _metadata(facts: Mapping[str, Any]) -> str:
    """Return an ``Upload-Metadata`` header: keys with base64 values."""
    return ",".join(
        f"{key} {base64.b64encode(as_text(value).encode()).decode()}"
        for key, value in facts.items()
        if value is not None
    )


def _note_path(url: str, project_path: str, path: Path, facts: Mapping[str, Any]) -> Path:
    """Return the path of the note that stores the uuid of a file's upload until the upload ends."""
    status = path.stat()
    about = [
        url,
        project_path,
        str(path.resolve()),
        status.st_size,
        status.st_mtime_ns,
        dict(facts),
    ]
    name = hashlib.sha256(dumps(about).encode()).hexdigest()[:32]
    return user_cache_path("aiplatform") / "uploads" / name


def is_temporary(error: ApiError) -> bool:
    """Return True if a retry may help, for example after a lost connection or a wrong offset."""
    return (
        isinstance(error, ServerUnavailable)
        or error.status in {LOCKED, 460, 502, 503, 504}
        or error.code == "upload.wrong_offset"
    )


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
