"""Routes for the web interface."""

from fastapi import APIRouter

from aiplatform.server.ui.endpoints import browser_session, licences, stream

router = APIRouter()
for part in (browser_session, licences, stream):
    router.include_router(part.router)
