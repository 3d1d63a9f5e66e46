"""A worker's background work for the audit trail: sealing, and archiving if configured."""

import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.data.blobs import BlobDamagedError
from aiplatform.server.audit.rules.signatures import InvalidKeyError
from aiplatform.server.audit.service.archives import ArchiveMismatchError, archive_all
from aiplatform.server.audit.service.sealing import seal_all
from aiplatform.server.core.settings import Settings, get_settings

log = structlog.get_logger(__name__)


def start_sealing() -> threading.Thread:
    """Start a thread that seals the audit trail regularly until the process exits.

    Every worker has such a thread, and an advisory lock keeps them from sealing at the same time. A
    crash between two seals loses nothing, because the queue of unsealed rows is in the database.
    """
    thread = threading.Thread(target=_run, args=(get_settings(),), name="audit-sealer", daemon=True)
    thread.start()
    return thread


def _run(settings: Settings) -> None:
    while True:
        time.sleep(settings.audit_seal_seconds)
        seal_and_archive(settings)


def seal_and_archive(settings: Settings) -> None:
    """Seal waiting rows and archive old ones. Errors are logged, and the next call tries again."""
    try:
        if rows := seal_all(settings.audit_signing_key_file):
            log.debug("sealed", rows=rows)
    except SQLAlchemyError as error:
        log.warning("sealing interrupted", error=str(error)[:200])
    except (OSError, InvalidKeyError) as error:
        log.error(  # noqa: TRY400  (no traceback needed)
            "the audit trail is not sealed: no key to sign with", error=str(error)
        )
    if settings.audit_archive_days is None:
        return
    try:
        archive_all(settings.audit_archive_days)
    except SQLAlchemyError as error:
        log.warning("archiving interrupted", error=str(error)[:200])
    except (BlobDamagedError, OSError, ArchiveMismatchError) as error:
        log.error("the audit trail is not archived", reason=str(error))  # noqa: TRY400
