"""Importing models: file uploads, the import task, and its outcome."""

from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ModelStatus, TaskStatus
from aiplatform.protocol.model_sources import ModelSource, UploadSource
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.specs import ImportSpec
from aiplatform.server.core import audit, storage
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import InvalidFilePath, NotFound
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.core.storage import BlobRef, StoredFile
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import QuotaExceeded
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.errors import WrongTaskType
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import submit
from aiplatform.server.queue.service.kinds import InputRef, Inputs, Outcome, Prepared
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import (
    ModelClosed,
    NoFiles,
    ProjectGone,
    TooManyFiles,
)
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import (
    MAX_FILES,
    SOURCE,
    WEIGHTS,
    clashes,
    is_model_path,
    path_error,
    tree_hash,
)
from aiplatform.server.registry.service.registration import card_text, record_registered

ROLE = "source"
_source: TypeAdapter[ModelSource] = TypeAdapter(ModelSource)


def check_path(path: str) -> None:
    """Refuse a path that is not a plain relative path below the model's directory.

    Raises:
        InvalidFilePath: the message contains the reason.
    """
    fault = path_error(path)
    if fault is not None:
        raise InvalidFilePath(path=path[:200], reason=fault.en, reason_zh=fault.zh)


def open_for_files(session: Session, model_id: int) -> tuple[Model, ModelDetails]:
    """Lock and return an uploaded model that is neither ready nor being imported.

    After a failed import the model accepts files again, because a missing file may have been the
    cause.

    Raises:
        NotFound: the model was deleted.
        ModelClosed: the model is in another state.
    """
    locked = queries.lock_model(session, model_id)
    if locked is None:
        raise NotFound(resource="model")
    model, details = locked
    if details.status == ModelStatus.READY:
        raise ModelClosed(
            reason="The model is ready and can't be changed. Create a new version.",
            reason_zh="模型已就绪，内容不可更改，请创建新版本。",
        )
    if not isinstance(source_of(details), UploadSource):
        raise ModelClosed(
            reason="The files of this model are imported, so it accepts no uploads. Create a "
            "new model.",
            reason_zh="该模型的文件是导入的，不接受上传。请创建新模型。",
        )
    if queries.unfinished_imports(session, model_id):
        raise ModelClosed(
            reason="The model is being imported. Wait until the import has ended, or cancel it.",
            reason_zh="模型正在导入，请等待结束或先取消。",
        )
    return model, details


def add_file(
    session: Session,
    actor: Actor,
    model_id: int,
    path: str,
    spooled: Spooled,
    *,
    project: UUID | None,
) -> StoredFile:
    """Store an uploaded file below ``source/``, replacing an earlier file with this path.

    Raises:
        NotFound, ModelClosed: see :func:`open_for_files`.
        InvalidFilePath: the path conflicts with another file's path.
        TooManyFiles: the model has the maximum number of files.
    """
    model, _ = open_for_files(session, model_id)
    others = [file.path for file in queries.source_files(session, model_id) if file.path != path]
    if clashes(path, others):
        raise InvalidFilePath(
            path=path,
            reason="another file of the model has the same path in other case, or uses it as a "
            "folder",
            reason_zh="与该模型的另一文件冲突（仅大小写不同，或与文件夹同名）",
        )
    if len(others) >= MAX_FILES:
        raise TooManyFiles(limit=MAX_FILES)
    file = StoredFile(SOURCE + path, spooled.sha256, spooled.size)
    session.execute(delete(BlobRef).where(BlobRef.model_id == model_id, BlobRef.path == file.path))
    audit.record(
        session,
        actor,
        AuditAction.MODEL_FILE_UPLOADED,
        "model",
        model.uuid,
        project=project,
        path=path,
        size=file.size,
        sha256=file.sha256,
    )
    session.flush()
    quotas.charge_storage(session, model.project_id, file.size)
    with disk_space_required():
        storage.store_file(session, spooled.path, file.sha256, file.size, move=True)
    storage.add_reference(session, file, project_id=model.project_id, model_id=model_id)
    session.flush()
    return file


def source_of(details: ModelDetails) -> ModelSource | None:
    """Return the source of the model's files, or None if a training task produced them."""
    stored = details.card.get("source")
    return None if stored is None else _source.validate_python(stored)


def prepare_import(session: Session, model: Model, details: ModelDetails) -> Prepared:
    """Prepare the import task of a locked model, and set the model to pending.

    Raises:
        ModelClosed: the model is ready, or is being imported.
        NoFiles: no file was uploaded.
    """
    source = source_of(details)
    if source is None or details.status == ModelStatus.READY:
        raise ModelClosed(
            reason="The model is ready and can't be changed. Create a new version.",
            reason_zh="模型已就绪，内容不可更改，请创建新版本。",
        )
    if queries.unfinished_imports(session, model.id):
        raise ModelClosed(
            reason="The model is already being imported. Wait until the import has ended.",
            reason_zh="模型正在导入，请等待结束。",
        )
    content_hash = None
    if isinstance(source, UploadSource):
        files = queries.source_files(session, model.id)
        if not files:
            raise NoFiles
        content_hash = tree_hash((file.path, file.sha256) for file in files)
    details.status = ModelStatus.PENDING
    details.error = None
    label = f"{model.name}@{model.version} from {source.kind}"
    return Prepared(
        spec=ImportSpec(model=model.uuid, source=source, secrets=details.card.get("secrets", {})),
        inputs=[InputRef(ROLE, label, content_hash, model_id=model.id)],
        model_id=model.id,
    )


def prepare_submitted(session: Session, context: ProjectContext, spec: ImportSpec) -> Prepared:
    """Prepare the import of the model named in a submitted spec.

    Raises:
        WrongTaskType: the spec names no model. A model must be created in the registry first.
        NotFound: the caller may not change the model.
        ModelClosed, NoFiles: see :func:`prepare_import`.
    """
    if spec.model is None:
        raise WrongTaskType(task_type=spec.type.value, resource="projects/{project}/models")
    model = queries.lock_usable(session, context, spec.model)
    if model is None or (model.project_id is None and not context.principal.is_superuser):
        raise NotFound(resource="model")
    locked = queries.lock_model(session, model.id)
    assert locked is not None
    prepared = prepare_import(session, *locked)
    options: dict[str, object] = {
        "resources": spec.resources,
        "queue": spec.queue,
        "max_attempts": spec.max_attempts,
    }
    if spec.secrets:
        options["secrets"] = spec.secrets
    return Prepared(prepared.spec.model_copy(update=options), prepared.inputs, None, model.id)


def start_import(
    session: Session, principal: Principal, model_id: int, project: ProjectContext | None
) -> Task:
    """Queue the import of a model; ``project`` is None for a shared one.

    Raises:
        NotFound: the model was deleted.
        ProjectGone: the project in which a shared model was created was deleted.
        ModelClosed, NoFiles: see :func:`prepare_import`.
        QuotaExceeded: the project has no storage left.
    """
    locked = queries.lock_model(session, model_id)
    if locked is None:
        raise NotFound(resource="model")
    model, details = locked
    prepared = prepare_import(session, model, details)
    if model.project_id is not None and not isinstance(source_of(details), UploadSource):
        # The size is charged when the import has ended, but a full project can be refused now.
        quotas.check_storage_available(session, model.project_id, 0)
    task = submit(
        session,
        project or _origin(session, principal, details),
        prepared.spec,
        name=f"import {model.name}@{model.version}",
        model_id=prepared.model_id,
        inputs=prepared.inputs,
    )
    details.task_id = task.id
    session.flush()
    return task


def _origin(session: Session, principal: Principal, details: ModelDetails) -> ProjectContext:
    """Return the project in which a shared model was created, as a context with all permissions.

    Only users with the global permission ``*`` reach this code.
    """
    project = queries.project_by_uuid(session, UUID(details.card["project"]))
    if project is None:
        raise ProjectGone
    return ProjectContext(
        principal=principal,
        project_id=project.id,
        project_uuid=project.uuid,
        project_name=project.name,
        permissions=frozenset({"*"}),
    )


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the uploaded files, if the import reads any."""
    model_id = _model_id(session, task.id)
    if model_id is None:
        raise NotFound(resource="model")
    files = queries.source_files(session, model_id)
    return Inputs(trees={ROLE: files} if files else {})


def note_started(session: Session, task_id: int) -> None:
    """Store an import task's id in its model's details, however the task was queued."""
    model_id = _model_id(session, task_id)
    details = None if model_id is None else session.get(ModelDetails, model_id)
    if details is not None:
        details.task_id = task_id


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Store a task's output as the model's files, or its error; do nothing for a deleted model."""
    model_id = _model_id(session, task.id)
    locked = None if model_id is None else queries.lock_model(session, model_id)
    if locked is None:
        return
    model, details = locked
    if model.project_id not in (None, task.project_id):
        return  # the model is in the bin
    details.task_id = task.id
    files = [file for file in outcome.files if is_model_path(file.path)]
    project = projects_queries.uuid_of(session, task.project_id)
    if outcome.status is not TaskStatus.COMPLETED:
        cancelled = outcome.status is TaskStatus.CANCELLED
        error = outcome.error or (
            "The import was cancelled." if cancelled else "The import failed."
        )
        _fail(session, model, details, task, error, project)
    elif not any(file.path.startswith(WEIGHTS) for file in files):
        _fail(session, model, details, task, "The import left no weights behind.", project)
    elif (over := _over_quota(session, model, files)) is not None:
        _fail(session, model, details, task, str(over), project)
    else:
        _fill(session, model, details, outcome, files)
        record_registered(session, model, project, task)
        label = f"{model.name}@{model.version}"
        announce(
            session,
            NotificationType.MODEL_REGISTERED,
            to=[task.scheduling.created_by],
            project=project,
            name=label,
            model=model.uuid,
        )
    session.flush()


def _over_quota(session: Session, model: Model, files: list[StoredFile]) -> QuotaExceeded | None:
    """Charge the project for the imported files. Return None, or an error if they exceed its quota.

    After such an error, the imported files are not kept, because the import can be repeated.
    """
    before = sum(file.size for file in storage.files_of(session, model_id=model.id))
    try:
        quotas.charge_storage(session, model.project_id, sum(file.size for file in files) - before)
    except QuotaExceeded as over:
        return over
    return None


def _fill(
    session: Session,
    model: Model,
    details: ModelDetails,
    outcome: Outcome,
    files: list[StoredFile],
) -> None:
    """Replace the uploaded files with the imported ones, and set the model to ready."""
    session.execute(delete(BlobRef).where(BlobRef.model_id == model.id))
    for file in sorted(files, key=lambda file: file.sha256):
        storage.add_reference(session, file, project_id=model.project_id, model_id=model.id)
    facts = dict(outcome.result)
    framework = facts.pop("framework", None)
    named = facts.get("license")
    model.framework = str(framework)[:100] if framework else "transformers"
    model.size = sum(file.size for file in files)
    model.file_path = f"models/{model.uuid}"
    details.status = ModelStatus.READY
    details.error = None
    if details.license is None and isinstance(named, str):
        details.license = named[:100]
    details.card = {**details.card, "facts": facts, "text": card_text(files)}


def _fail(
    session: Session,
    model: Model,
    details: ModelDetails,
    task: Task,
    error: str,
    project: UUID | None,
) -> None:
    """Set the model to failed. Uploaded files are kept, so that the import can be repeated."""
    details.status = ModelStatus.FAILED
    details.error = error[:10_000]
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.MODEL_IMPORT_FAILED,
        "model",
        model.uuid,
        project=project,
        outcome="failure",
        name=model.name,
        version=model.version,
        task=task.uuid,
        error=error[:1000],
    )


def _model_id(session: Session, task_id: int) -> int | None:
    return session.scalar(
        select(TaskInput.model_id).where(TaskInput.task_id == task_id, TaskInput.role == ROLE)
    )
