"""Routes for the project's quality gate."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from aiplatform.protocol.gates import Gate
from aiplatform.server.datasets import access, queries
from aiplatform.server.datasets.schemas import GateRule, GateVerdict
from aiplatform.server.datasets.service import gates
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1")


@router.get("/projects/{project}/dataset-gate", summary="Read the quality gate")
def get_dataset_gate(
    context: Annotated[ProjectContext, Depends(access.LIST)], session: SessionDep
) -> Gate:
    """Return the rules that a version's quality report must meet before training on it."""
    return gates.gate_of(session, context.project_id)


@router.put("/projects/{project}/dataset-gate", summary="Set the quality gate")
def set_dataset_gate(
    context: Annotated[ProjectContext, Depends(access.SET_GATE)], session: SessionDep, body: Gate
) -> Gate:
    """Replace all rules. Training tasks that are already queued or running are not rechecked."""
    return gates.set_gate(session, context, body)


@router.get("/datasets/{dataset}/versions/{version}/gate", summary="Ask the quality gate")
def get_dataset_version_gate(
    dataset: UUID,
    version: str,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
) -> GateVerdict:
    """Return whether the version may be used for training, and if not, which rules it breaks."""
    head = queries.get_dataset(session, context, dataset)
    found = queries.get_version(session, head, version)
    failures = gates.failures_of(session, context, found.id)
    return GateVerdict(
        passed=not failures,
        failures=[GateRule(rule=f.rule, text=f.text, text_zh=f.text_zh) for f in failures],
    )
