"""Helpers for tests that store blobs."""

from collections.abc import Callable

from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import Blob, StoredFile

StoreBlob = Callable[..., StoredFile]


def is_known(file: StoredFile) -> bool:
    with transaction() as session:
        return session.get(Blob, file.sha256) is not None
