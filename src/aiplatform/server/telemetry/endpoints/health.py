"""Routes for the API's liveness and for the health of each part of the platform."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import aiplatform
from aiplatform.data.blobs import LocalBlobStore
from aiplatform.server.core.broker import broker_answers
from aiplatform.server.core.database import transaction
from aiplatform.server.core.disks import DiskChecks
from aiplatform.server.core.errors import Language
from aiplatform.server.core.migrate import current_revision, expected_revision
from aiplatform.server.core.problems import language_of
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import get_store
from aiplatform.server.identity.access import PUBLIC
from aiplatform.server.queue import queries

router = APIRouter()
disks = DiskChecks()


class Check(BaseModel):
    """The state of one part: ``ok`` is true if it works; ``detail`` explains the state."""

    ok: bool
    detail: str

    @classmethod
    def report(cls, language: Language, ok: bool, detail: str, detail_zh: str) -> "Check":
        """Return a check whose detail is in the reader's language."""
        return cls(ok=ok, detail=detail_zh if language == "zh" else detail)


class Health(BaseModel):
    """The state of the platform.

    ``ok``: all parts work. ``degraded``: requests are answered, but some work may be delayed.
    ``down``: the database is not responding.
    """

    status: Literal["ok", "degraded", "down"]
    version: str
    checks: dict[str, Check]


def _database_checks(session: Session, language: Language) -> dict[str, Check]:
    current, expected = current_revision(session.connection()), expected_revision()
    workers = queries.live_workers(session)
    names = ", ".join(worker.name for worker in workers)
    return {
        "database": Check.report(language, True, "answers", "响应正常"),
        "migrations": Check.report(
            language,
            current == expected,
            f"at {current or 'none'}, expected {expected}",
            f"当前 {current or '无'}，应为 {expected}",
        ),
        "workers": Check.report(
            language,
            bool(workers),
            names or "no heartbeat in the last 30 s",
            names or "过去 30 秒内没有心跳",
        ),
    }


def _storage_check(language: Language) -> Check:
    """Check the directory of a local blob store.

    An object store is not checked, because its own monitoring detects more than one request could.
    """
    try:
        store = get_store()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Check.report(language, False, f"can't be opened: {reason}", f"无法打开：{reason}")
    if isinstance(store, LocalBlobStore):
        return _disk_check(store.root, language)
    return Check.report(language, True, "an object store", "对象存储")


def _disk_check(directory: Path, language: Language) -> Check:
    found = disks.check(directory, get_settings().min_free_disk_bytes)
    return Check.report(language, found.ok, found.detail, found.detail_zh)


class Liveness(BaseModel):
    """The response of an API process that is able to handle requests."""

    status: Literal["ok"]
    version: str


@router.get("/api/v1/health", tags=["health"], dependencies=[Depends(PUBLIC)], summary="Liveness")
async def health() -> Liveness:
    """Respond without touching the database, broker or disks; a load balancer may call it often."""
    return Liveness(status="ok", version=aiplatform.__version__)


@router.get(
    "/api/v1/health/details",
    tags=["health"],
    dependencies=[Depends(PUBLIC)],
    summary="Health in detail",
    responses={503: {"model": Health, "description": "The database does not answer"}},
)
def health_details(request: Request, response: Response) -> Health:
    """Check each part. The status code is 503 if the database is not responding."""
    language = language_of(request)
    try:
        with transaction() as session:
            checks = _database_checks(session, language)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0][:200]
        checks = {"database": Check(ok=False, detail=reason)}
    broker = broker_answers()
    checks["broker"] = (
        Check.report(language, True, "answers", "响应正常")
        if broker
        else Check.report(language, False, "does not answer", "没有响应")
    )
    checks["uploads"] = _disk_check(get_settings().spool_dir, language)
    checks["storage"] = _storage_check(language)
    if not checks["database"].ok:
        response.status_code = 503
        return Health(status="down", version=aiplatform.__version__, checks=checks)
    well = all(check.ok for check in checks.values())
    return Health(
        status="ok" if well else "degraded", version=aiplatform.__version__, checks=checks
    )
