"""Whether the platform can do its work, part by part."""

from typing import Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import aiplatform
from aiplatform.server.core.broker import broker_answers
from aiplatform.server.core.database import transaction
from aiplatform.server.core.migrate import current_revision, expected_revision
from aiplatform.server.core.storage import get_store
from aiplatform.server.identity.access import PUBLIC
from aiplatform.server.tasks import queries

router = APIRouter()


class Check(BaseModel):
    """One part: whether it works, and what there is to say."""

    ok: bool
    detail: str


class Health(BaseModel):
    """``ok`` when all parts work; ``degraded`` when requests are answered but work waits."""

    status: Literal["ok", "degraded", "down"]
    version: str
    checks: dict[str, Check]


def _database_checks(session: Session) -> dict[str, Check]:
    current, expected = current_revision(session.connection()), expected_revision()
    workers = queries.live_workers(session)
    names = ", ".join(worker.name for worker in workers)
    return {
        "database": Check(ok=True, detail="answers"),
        "migrations": Check(
            ok=current == expected, detail=f"at {current or 'none'}, expected {expected}"
        ),
        "workers": Check(ok=bool(workers), detail=names or "no heartbeat in the last 30 s"),
    }


@router.get(
    "/api/v1/health",
    tags=["health"],
    dependencies=[Depends(PUBLIC)],
    summary="Health in detail",
    responses={503: {"model": Health, "description": "The database does not answer"}},
)
def health(response: Response) -> Health:
    """Each part by itself. 503 when the database does not answer, since nothing works without."""
    try:
        with transaction() as session:
            checks = _database_checks(session)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0][:200]
        checks = {"database": Check(ok=False, detail=reason)}
    broker = broker_answers()
    checks["broker"] = Check(ok=broker, detail="answers" if broker else "does not answer")
    checks["storage"] = Check(ok=True, detail=type(get_store()).__name__)
    if not checks["database"].ok:
        response.status_code = 503
        return Health(status="down", version=aiplatform.__version__, checks=checks)
    well = all(check.ok for check in checks.values())
    return Health(
        status="ok" if well else "degraded", version=aiplatform.__version__, checks=checks
    )
