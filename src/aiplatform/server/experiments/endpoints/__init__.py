"""HTTP routes for experiments, runs and training estimates."""

from fastapi import APIRouter

from aiplatform.server.experiments.endpoints import estimates, experiments

router = APIRouter(tags=["experiments"])
router.include_router(experiments.experiments_router)
router.include_router(experiments.runs_router)
router.include_router(estimates.router)
