"""Writes of an attempt: transactions that wait while the database is away, and files."""

import threading
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from aiplatform.data.blobs import hash_file
from aiplatform.server.core import storage
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.queue.errors import LostLease

log = structlog.get_logger(__name__)
DATABASE_RETRY_SECONDS = 0.5


class AttemptWriter:
    """A function that runs transactions of an attempt, and stores its files.

    ``lost`` is set when the attempt has lost its lease.
    """

    def __init__(self, lost: threading.Event) -> None:
        self.lost = lost

    def __call__(self, action: Any) -> Any:
        """Run ``action`` in a transaction. If the database is away, wait and try again.

        Raises:
            LostLease: when the attempt loses its lease meanwhile.
        """
        while True:
            try:
                with transaction() as session:
                    return action(session)
            except OperationalError as error:
                self._wait_for_database(error)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._wait_for_database(error)

    def _wait_for_database(self, error: DBAPIError) -> None:
        log.warning("database unavailable, trying again", error=str(error.orig).strip()[:200])
        if self.lost.wait(DATABASE_RETRY_SECONDS):
            raise LostLease from error

    def store_file(self, path: Path, *, move: bool) -> StoredFile:
        """Put one file into the blob store."""
        sha256, size = hash_file(path)
        self(lambda session: storage.store_file(session, path, sha256, size, move=move))
        return StoredFile(path.name, sha256, size)

    def store_tree(self, directory: Path, *, move: bool) -> list[StoredFile]:
        """Put all files below ``directory`` into the blob store, each in its own transaction."""
        files: list[StoredFile] = []
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            stored = self.store_file(path, move=move)
            place = path.relative_to(directory).as_posix()
            files.append(StoredFile(place, stored.sha256, stored.size))
        return files
