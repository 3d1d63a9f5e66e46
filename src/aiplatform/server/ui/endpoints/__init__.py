"""Routes for the web interface."""

from fastapi import APIRouter

from aiplatform.server.ui.endpoints import browser_session, stream

router = APIRouter()
for part in (browser_session, stream):
    router.include_router(part.router)
