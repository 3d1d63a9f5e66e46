"""Factories for experiments, models, tasks, code bundles, workers and deployments."""

from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import (
    DeploymentStatus,
    ExperimentStatus,
    ModelStatus,
    TaskStatus,
    TaskType,
)
from aiplatform.server.core.storage import StoredFile, add_reference
from aiplatform.server.experiments.models import Experiment, ExperimentDetails
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskScheduling, Worker
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.scripts.models import CodeBundle
from tests.factories.numbers import number


def make_experiment(
    session: Session, project: Project, *, config: dict[str, Any] | None = None, **columns: Any
) -> Experiment:
    """Create an experiment without runs; by default, its model and dataset do not exist."""
    spec = {"type": "training", "base_model": str(uuid4()), "dataset": {"dataset": str(uuid4())}}
    values = {"name": f"experiment{number()}", "status": ExperimentStatus.PENDING, **columns}
    row = Experiment(
        project_id=project.id, base_model="base", task_type="sft", config=config or spec, **values
    )
    session.add(row)
    session.flush()
    session.add(ExperimentDetails(experiment_id=row.id, created_by=project.owner_id))
    session.commit()
    session.refresh(row)
    return row


def make_model(
    session: Session,
    project: Project | None,
    *,
    name: str | None = None,
    version: str = "1",
    status: ModelStatus = ModelStatus.READY,
    files: list[StoredFile] | None = None,
    **details: Any,
) -> Model:
    """Create a registered model; without a project, it is shared by all projects.

    ``files`` must be in the store.
    """
    row = Model(
        project_id=None if project is None else project.id,
        name=name or f"model{number()}",
        version=version,
        framework="transformers",
        size=sum(file.size for file in files or ()),
    )
    session.add(row)
    session.flush()
    session.add(ModelDetails(model_id=row.id, status=status, **details))
    for file in files or ():
        add_reference(session, file, project_id=row.project_id, model_id=row.id)
    session.commit()
    session.refresh(row)
    return row


def make_task(
    session: Session,
    project: Project | None,
    *,
    type: TaskType = TaskType.DATA_QUALITY,  # noqa: A002  (the column's name)
    status: TaskStatus = TaskStatus.PENDING,
    scheduling: dict[str, Any] | None = None,
    **columns: Any,
) -> Task:
    """Create a task and its scheduling row; ``scheduling`` overrides columns of that row."""
    values = {"name": f"task{number()}", "priority": 5, **columns}
    row = Task(
        project_id=None if project is None else project.id, type=type, status=status, **values
    )
    row.scheduling = TaskScheduling(
        **{
            "queue": "default",
            "cpus": 1.0,
            "memory_mb": 0,
            "gpus": 0,
            "max_attempts": 3,
            "created_by": None if project is None else project.owner_id,
            **(scheduling or {}),
        }
    )
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_bundle(session: Session, project: Project, file: StoredFile, **columns: Any) -> CodeBundle:
    """Create a code bundle; ``file`` is its archive in the store."""
    facts = {"name": f"code{number()}", "files": 1, "unpacked_bytes": file.size, **columns}
    row = CodeBundle(
        project_id=project.id,
        sha256=file.sha256,
        size=file.size,
        created_by=project.owner_id,
        **facts,
    )
    session.add(row)
    session.flush()
    add_reference(session, file, project_id=project.id, bundle_id=row.id)
    session.commit()
    session.refresh(row)
    return row


def make_worker(session: Session, **columns: Any) -> Worker:
    """Create a worker that has just registered and runs nothing."""
    values = {
        "name": f"worker{number()}",
        "hostname": "host",
        "pid": 1,
        "software_version": "0",
        "queues": ["default"],
        "cpus": 4.0,
        "memory_mb": 8192,
        "gpus": 0,
        **columns,
    }
    row = Worker(**values)
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_deployment(
    session: Session, project: Project, model: Model | None = None, **columns: Any
) -> Deployment:
    """Create a stopped deployment of ``model`` (by default a new model)."""
    model = model or make_model(session, project)
    values = {
        "name": f"deployment{number()}",
        "status": DeploymentStatus.STOPPED,
        "spec": {"type": "inference", "model": str(model.uuid)},
        **columns,
    }
    row = Deployment(project_id=project.id, model_id=model.id, **values)
    session.add(row)
    session.commit()
    session.refresh(row)
    return row
