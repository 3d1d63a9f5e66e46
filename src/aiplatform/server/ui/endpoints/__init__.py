"""Routes of the web interface."""

from fastapi import APIRouter

from aiplatform.server.ui.endpoints import browser_session

router = APIRouter()
for part in (browser_session,):
    router.include_router(part.router)
