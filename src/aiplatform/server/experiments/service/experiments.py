"""Creating, changing and deleting experiments."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import ExperimentStatus
from aiplatform.protocol.specs import TrainingSpec
from aiplatform.server.core import audit
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import ExperimentBusy
from aiplatform.server.experiments.models import Experiment, ExperimentDetails
from aiplatform.server.experiments.service import trainings
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model


def create_experiment(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    description: str | None,
    config: TrainingSpec,
) -> Experiment:
    """Ask a question of a base model. A dataset without a version is pinned by each run.

    Raises:
        NotFound: for a model or dataset that the project may not use.
        ModelNotReady, NothingToLearn: see ``trainings.prepare``.
    """
    base = _checked(session, context, config)
    experiment = Experiment(
        project_id=context.project_id,
        name=clean_text(name),
        base_model=f"{base.name}@{base.version}"[:255],
        task_type=config.method,
        status=ExperimentStatus.PENDING.value,
        config=config.model_dump(mode="json"),
        metrics={},
    )
    session.add(experiment)
    session.flush()
    session.refresh(experiment)
    session.add(
        ExperimentDetails(
            experiment_id=experiment.id,
            description=None if description is None else clean_text(description),
            base_model_id=base.id,
            created_by=context.principal.user_id,
        )
    )
    _record(session, context, AuditAction.EXPERIMENT_CREATED, experiment, base_model=base.uuid)
    session.flush()
    return experiment


def update_experiment(
    session: Session, context: ProjectContext, experiment: Experiment, changes: dict[str, Any]
) -> Experiment:
    """Change a locked experiment; ``changes`` are of name, description and config.

    Raises:
        NotFound, ModelNotReady, NothingToLearn: for a config, see :func:`create_experiment`.
    """
    details = session.get_one(ExperimentDetails, experiment.id)
    if "name" in changes:
        experiment.name = clean_text(changes["name"])
    if "description" in changes:
        text = changes["description"]
        details.description = None if text is None else clean_text(text)
        # The resource's ETag is the time in the other table.
        experiment.updated_at = func.clock_timestamp()
    if "config" in changes:
        config: TrainingSpec = changes["config"]
        base = _checked(session, context, config)
        experiment.config = config.model_dump(mode="json")
        experiment.base_model = f"{base.name}@{base.version}"[:255]
        details.base_model_id = base.id
    _record(session, context, AuditAction.EXPERIMENT_UPDATED, experiment, changed=sorted(changes))
    session.flush()
    session.refresh(experiment)
    return experiment


def delete_experiment(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete it; its tasks and models stay.

    Raises:
        NotFound: when the project has no such experiment.
        ExperimentBusy: while one of its tasks has not ended.
    """
    experiment = queries.lock_experiment(session, context, uuid)
    run = queries.unfinished_task(session, experiment)
    if run is not None:
        raise ExperimentBusy(run=run.name)
    _record(session, context, AuditAction.EXPERIMENT_DELETED, experiment)
    session.execute(delete(Experiment).where(Experiment.id == experiment.id))
    session.expire_all()


def _checked(session: Session, context: ProjectContext, config: TrainingSpec) -> Model:
    """The base model, once everything that the config names was found usable."""
    trainings.prepare(session, context, config)
    return registry.usable_model(session, context, config.base_model)


def _record(
    session: Session,
    context: ProjectContext,
    action: AuditAction,
    experiment: Experiment,
    **details: Any,
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "experiment",
        experiment.uuid,
        project=context.project_uuid,
        name=experiment.name,
        **details,
    )
