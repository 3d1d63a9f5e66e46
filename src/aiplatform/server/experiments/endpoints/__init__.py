"""HTTP routes for experiments and their runs."""

from fastapi import APIRouter

from aiplatform.server.experiments.endpoints import experiments, runs

router = APIRouter(tags=["experiments"])
for part in (experiments, runs):
    router.include_router(part.router)
