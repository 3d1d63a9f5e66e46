"""Rows for tests, made directly and committed. Each takes what matters and fills in the rest."""

import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.data.ingest import ingest
from aiplatform.protocol.enums import (
    DatasetStatus,
    DeploymentStatus,
    ExperimentStatus,
    ModelStatus,
    TaskStatus,
    TaskType,
)
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.storage import BlobRef, StoredFile, keep, refer
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetVersion,
    DatasetVersionDetails,
    QualityReport,
)
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.experiments.models import Experiment, ExperimentDetails
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.models import AuthSession, AuthToken, Role, User, UserSecurity
from aiplatform.server.inference.models import Deployment
from aiplatform.server.notifications.models import Notification, NotificationDetails
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.tasks.models import Task, TaskScheduling

PASSWORD = "a password of tests"
_HASH = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""Cheap on purpose; real ones take 50 ms each."""

_number = count(1)


def number() -> int:
    """A number not given before, for names."""
    return next(_number)


def make_user(
    session: Session,
    username: str | None = None,
    *,
    role: str = "user",
    active: bool = True,
    must_change_password: bool = False,
    password_hash: str = _HASH,
) -> User:
    """An account whose password is :data:`PASSWORD`."""
    name = username or f"user{number()}"
    user = User(
        username=name,
        email=f"{name}@example.com",
        password_hash=password_hash,
        role=role,
        is_active=active,
    )
    session.add(user)
    session.flush()
    session.add(UserSecurity(user_id=user.id, must_change_password=must_change_password))
    session.commit()
    session.refresh(user)
    return user


def make_role(session: Session, *permissions: str, name: str | None = None) -> Role:
    """A custom role."""
    role = Role(name=name or f"role{number()}", permissions=[str(p) for p in permissions])
    session.add(role)
    session.commit()
    session.refresh(role)
    return role


def make_token(session: Session, user: User, *, lifetime: timedelta = timedelta(hours=1)) -> str:
    """An access token in a login session of its own."""
    login = AuthSession(user_id=user.id)
    session.add(login)
    session.flush()
    token = secrets.token_urlsafe(32)
    session.add(
        AuthToken(
            session_id=login.id,
            kind="access",
            token_hash=hash_token(token),
            expires_at=datetime.now(UTC) + lifetime,
        )
    )
    session.commit()
    return token


def make_project(
    session: Session, owner: User | None = None, *, name: str | None = None, **columns: Any
) -> Project:
    """A project; without an owner given, somebody new owns it."""
    owner = owner or make_user(session)
    project = Project(name=name or f"project{number()}", owner_id=owner.id, **columns)
    session.add(project)
    session.commit()
    session.refresh(project)
    return project


def make_member(
    session: Session, project: Project, role: str | Role, user: User | None = None
) -> User:
    """Give a user (by default somebody new) a role in the project. Returns the user."""
    user = user or make_user(session)
    if isinstance(role, str):
        role = session.scalars(select(Role).where(Role.name == role)).one()
    session.add(ProjectPermission(user_id=user.id, project_id=project.id, role_id=role.id))
    session.commit()
    return user


def make_context(
    session: Session, project: Project, user: User | None = None, *held: Permission | str
) -> ProjectContext:
    """The evidence that guards give; ``user`` is by default the owner, ``held`` by default all."""
    if user is None:
        user = session.get_one(User, project.owner_id)
    permissions = frozenset(str(p) for p in held) or frozenset({"*"})
    principal = Principal(
        user_id=user.id,
        user_uuid=user.uuid,
        username=user.username,
        role=user.role,
        permissions=frozenset(),
        session_id=0,
        must_change_password=False,
        actor=Actor(user_id=user.id, user_uuid=user.uuid, username=user.username),
    )
    return ProjectContext(
        principal=principal,
        project_id=project.id,
        project_uuid=project.uuid,
        project_name=project.name,
        permissions=permissions,
    )


def make_blob(session: Session, content: bytes, path: str, home: Path) -> StoredFile:
    """Content in the store; ``home`` is a directory for the temporary file."""
    sha256 = hashlib.sha256(content).hexdigest()
    source = home / f"blob{number()}"
    source.write_bytes(content)
    keep(session, source, sha256, len(content))
    session.commit()
    source.unlink()
    return StoredFile(path, sha256, len(content))


def make_rows(session: Session, home: Path, *, rows: int = 3) -> StoredFile:
    """Chats as the canonical Parquet of a dataset version, in the store."""
    source, output = home / f"rows{number()}.jsonl", home / f"rows{number()}.parquet"
    with source.open("w", encoding="utf-8") as lines:
        for row in range(rows):
            chat = [("user", f"{row}?"), ("assistant", "!")]
            messages = [{"role": role, "content": content} for role, content in chat]
            lines.write(json.dumps({"messages": messages}) + "\n")
    ingest(source, output, filename="rows.jsonl")
    content = output.read_bytes()
    source.unlink()
    output.unlink()
    return make_blob(session, content, ROWS_PATH, home)


def make_dataset(
    session: Session, project: Project, *, name: str | None = None, **columns: Any
) -> Dataset:
    """The head of a dataset, without any version."""
    values = {"format": "jsonl", "status": DatasetStatus.READY, **columns}
    dataset = Dataset(project_id=project.id, name=name or f"dataset{number()}", **values)
    session.add(dataset)
    session.flush()
    session.add(DatasetDetails(dataset_id=dataset.id, shape="chat", created_by=project.owner_id))
    session.commit()
    session.refresh(dataset)
    return dataset


def make_version(
    session: Session,
    dataset: Dataset,
    *,
    version: str = "v1",
    file: StoredFile | None = None,
    rows: int = 1,
    shape: str = "chat",
    **columns: Any,
) -> DatasetVersion:
    """A version of a dataset; ``file`` is its canonical Parquet, in the store."""
    row = DatasetVersion(
        dataset_id=dataset.id,
        version=version,
        file_hash=None if file is None else file.sha256,
        file_size=0 if file is None else file.size,
        row_count=rows,
        **columns,
    )
    session.add(row)
    session.flush()
    session.add(
        DatasetVersionDetails(version_id=row.id, shape=shape, format="jsonl", filename="rows.jsonl")
    )
    if file is not None:
        refer(session, file, project_id=dataset.project_id, dataset_version_id=row.id)
    dataset.version = version
    session.commit()
    session.refresh(row)
    return row


def make_report(session: Session, version: DatasetVersion, **report: Any) -> QualityReport:
    """The quality report of a version."""
    row = QualityReport(
        version_id=version.id, report={"score": 100, "rows": version.row_count, "findings": []}
    )
    row.report |= report
    session.add(row)
    session.commit()
    return row


def make_experiment(
    session: Session, project: Project, *, config: dict[str, Any] | None = None, **columns: Any
) -> Experiment:
    """An experiment that was never run; by default of a model and data that do not exist."""
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
    """A registered model; without a project, one shared by all. ``files`` are in the store."""
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
        refer(session, file, project_id=row.project_id, model_id=row.id)
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
    """A task with its scheduling; ``scheduling`` overrides columns of the latter."""
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


def make_deployment(
    session: Session, project: Project, model: Model | None = None, **columns: Any
) -> Deployment:
    """A stopped deployment of ``model`` (by default a new one)."""
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


def make_notification(session: Session, user: User, **columns: Any) -> NotificationDetails:
    """Something in a user's inbox; returns the row that has its uuid."""
    values = {"type": "task", "title": f"notification{number()}", "message": "text", **columns}
    row = Notification(user_id=user.id, **values)
    session.add(row)
    session.flush()
    details = NotificationDetails(notification_id=row.id)
    session.add(details)
    session.commit()
    session.refresh(details)
    return details


def references(session: Session, sha256: str) -> int:
    """How many owners refer to a blob."""
    return len(session.scalars(select(BlobRef.id).where(BlobRef.sha256 == sha256)).all())
