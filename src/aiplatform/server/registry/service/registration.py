"""Registration of models, lookup of the models that a task reads, deletion, and the bin."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import ModelKind, ModelStatus, TaskStatus, TaskType, TrainingMethod
from aiplatform.protocol.model_sources import ModelSource
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.references import After, FromTask
from aiplatform.protocol.trainings import SPECS
from aiplatform.server.core import audit, storage
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import StillUsed
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.service import bin as projects_bin
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.bin import BinKind
from aiplatform.server.queue.errors import ModelMissing, TaskFinished, TypeMakesNoModel
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import dependencies, request_cancel
from aiplatform.server.queue.service.kinds import InputRef
from aiplatform.server.queue.service.queue import add_event
from aiplatform.server.registry import queries
from aiplatform.server.registry.errors import (
    ModelHasAliases,
    ModelInUse,
    ModelNotReady,
    ModelNotTunable,
    ModelWritesNoText,
    VersionIsAlias,
    VersionTaken,
)
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import (
    ADAPTER,
    CARD,
    KIND_NAMES,
    MAX_CARD_BYTES,
    kind_made_by,
    kind_of,
    tree_hash,
)


def discard(session: Session, actor: Actor, model: Model, details: ModelDetails) -> BinEntry | None:
    """Move a locked model to its project's bin; a model without a project is deleted permanently.

    A shared model goes into the bin of the project in which it was created. Return the bin entry,
    or None if the model was deleted permanently.
    """
    shared = model.project_id is None
    project_id = _origin(session, details) if shared else model.project_id
    if project_id is None:
        session.execute(delete(Model).where(Model.id == model.id))
        session.expire_all()
        return None
    name = model.name
    model.project_id = projects_queries.bin_home(session)
    model.name = str(model.uuid)
    session.flush()
    return projects_bin.add_entry(
        session,
        actor,
        kind="model",
        project_id=project_id,
        resource_uuid=model.uuid,
        name=name,
        version=model.version,
        model_id=model.id,
        shared=shared,
    )


def _origin(session: Session, details: ModelDetails) -> int | None:
    uuid = details.card.get("project")
    project = None if uuid is None else queries.project_by_uuid(session, UUID(uuid))
    return None if project is None else project.id


class BinnedModels(BinKind):
    """The bin's operations on models: restore and purge."""

    kind = "model"
    reads = Permission.MODELS_READ
    writes = Permission.MODELS_WRITE

    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Restore a model; see :class:`BinKind`. Name and version together must be unique."""
        model = _binned(session, entry)

        def take(wanted: str) -> None:
            model.project_id = None if entry.shared else entry.project_id
            model.name = wanted

        taken = NameTaken(resource="model", name=f"{name or entry.name}@{entry.version}")
        return projects_bin.restore_under_free_name(session, entry.name, name, take, taken)

    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete a model permanently; see :class:`BinKind`."""
        model = _binned(session, entry)
        users = queries.tuned_from(session, model.id)
        if users:
            raise StillUsed(users=", ".join(users[:5]))
        session.execute(delete(Model).where(Model.id == model.id))
        session.expire_all()


def _binned(session: Session, entry: BinEntry) -> Model:
    return session.scalars(
        select(Model)
        .where(Model.id == entry.model_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


MODEL = "model"
BASE_MODEL = "base_model"
"""Roles of a model as a task input: the model itself, or the base it was tuned from."""


def create_model(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    version: str | None,
    source: ModelSource,
    license: str | None = None,  # noqa: A002  (the API's name for it)
    shared: bool = False,
    secrets: Mapping[str, str] | None = None,
) -> Model:
    """Create a model whose files follow later. The caller has checked the right to share.

    If the requested version, or by default the newest, is a failed import, the new model replaces
    it, because a failed import contains nothing usable.

    Raises:
        VersionTaken: the name already has that version.
        VersionIsAlias: the name has an alias that is called like that version.
    """
    project_id = None if shared else context.project_id
    model = Model(
        project_id=project_id,
        name=name,
        version=_free_version(session, context, project_id, name, version),
        metrics={},
    )
    session.add(model)
    session.flush()
    session.add(
        ModelDetails(
            model_id=model.id,
            status=ModelStatus.PENDING,
            license=None if license is None else clean_text(license),
            # A shared model belongs to no project, but its import is a task in a project.
            card={
                "source": jsonable(source),
                "project": str(context.project_uuid),
                **({"secrets": dict(secrets)} if secrets else {}),
            },
            created_by=context.principal.user_id,
        )
    )
    session.flush()
    session.refresh(model)
    audit.record(
        session,
        context.actor,
        AuditAction.MODEL_CREATED,
        "model",
        model.uuid,
        project=context.project_uuid,
        name=model.name,
        version=model.version,
        source=source,
        shared=shared,
    )
    return model


def _free_version(
    session: Session, context: ProjectContext, project_id: int | None, name: str, wanted: str | None
) -> str:
    """Return the version for a new model, deleting a model with this version whose import failed.

    Raises:
        VersionTaken: ``wanted`` is in use.
        VersionIsAlias: ``wanted`` is an alias.
    """
    lock_name(session, project_id, name)
    version = wanted or str(queries.highest_version(session, project_id, name))
    failed = queries.failed_import(session, project_id, name, version)
    if failed is not None:
        locked = queries.lock_model(session, failed)
        unused = not (
            queries.unfinished_readers(session, failed) or queries.tuned_from(session, failed)
        )
        if locked is not None and locked[1].status == ModelStatus.FAILED and unused:
            audit.record(
                session,
                context.actor,
                AuditAction.MODEL_DELETED,
                "model",
                locked[0].uuid,
                project=context.project_uuid,
                name=name,
                version=version,
                replaced=True,
            )
            session.execute(delete(Model).where(Model.id == failed))
            session.expire_all()
            return version
    return _version(session, project_id, name, wanted)


def lock_name(session: Session, project_id: int | None, name: str) -> None:
    """Lock a model name until the transaction ends, so that its registrations are serialised."""
    key = func.hashtextextended(f"models:{project_id}:{name}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def _version(session: Session, project_id: int | None, name: str, wanted: str | None) -> str:
    """Return the version for a new model with this name, and lock the name.

    Raises:
        VersionTaken: ``wanted`` is in use.
        VersionIsAlias: ``wanted`` is an alias.
    """
    lock_name(session, project_id, name)
    if wanted is None:
        return str(queries.highest_version(session, project_id, name) + 1)
    if queries.is_version_taken(session, project_id, name, wanted):
        raise VersionTaken(name=name, version=wanted)
    if queries.find_alias(session, project_id, name, wanted) is not None:
        raise VersionIsAlias(name=name, version=wanted)
    return wanted


def register_tuned(
    session: Session,
    task: Task,
    *,
    project_id: int,
    name: str,
    base_model_id: int | None,
    files: Iterable[StoredFile],
    card: dict[str, Any],
    metrics: dict[str, Any],
    experiment_id: int | None,
    created_by: int | None,
) -> Model:
    """Register the result of training as the next version of ``name``, with the status ready.

    The licence is the base model's.

    Args:
        session: the caller's session; not committed here.
        task: the training task.
        project_id: the project of the new model.
        name: name of the new model.
        base_model_id: the model that was tuned.
        files: files in the blob store, in a model's layout. README.md becomes the card's text.
        card: the model card as data.
        metrics: the metrics of the training.
        experiment_id: the experiment of the training task.
        created_by: id of the task's author.
    """
    made = sorted(files, key=lambda file: file.sha256)
    base = None if base_model_id is None else session.get(ModelDetails, base_model_id)
    model = Model(
        project_id=project_id,
        name=name,
        version=_version(session, project_id, name, None),
        framework="peft" if any(file.path.startswith(ADAPTER) for file in made) else "transformers",
        size=sum(file.size for file in made),
        metrics=metrics,
    )
    session.add(model)
    session.flush()
    session.refresh(model)
    model.file_path = f"models/{model.uuid}"
    session.add(
        ModelDetails(
            model_id=model.id,
            status=ModelStatus.READY,
            license=None if base is None else base.license,
            card={"facts": card, "text": card_text(made)},
            base_model_id=base_model_id,
            task_id=task.id,
            experiment_id=experiment_id,
            created_by=created_by,
        )
    )
    session.flush()
    for file in made:
        storage.add_reference(session, file, project_id=project_id, model_id=model.id)
    if task.model_id is None:
        task.model_id = model.id
    record_registered(session, model, projects_queries.uuid_of(session, project_id), task)
    session.flush()
    return model


def register_again(
    session: Session, context: ProjectContext, model: Model, *, name: str
) -> tuple[Model, bool]:
    """Register a model under an additional name, as the next version of that name.

    The new model has the same files, card and lineage. ``model`` must have been produced by a task.
    If the task already has a model with the new name, that model is returned unchanged. Return the
    model, and True if it is new. The caller has locked ``model``.

    Raises:
        NotFound: the model was not made by a task.
        QuotaExceeded: the project's storage is full. Each model with these files is charged for
            them, although they are stored only once.
    """
    details = queries.details_of(session, model)
    if details.task_id is None:
        raise NotFound(resource="model")
    there = queries.find_registered(session, context, details.task_id, name)
    if there is not None:
        return there, False
    again = Model(
        project_id=context.project_id,
        name=name,
        version=_version(session, context.project_id, name, None),
        framework=model.framework,
        size=model.size,
        metrics=model.metrics,
    )
    session.add(again)
    session.flush()
    session.refresh(again)
    again.file_path = f"models/{again.uuid}"
    session.add(
        ModelDetails(
            model_id=again.id,
            status=ModelStatus.READY,
            license=details.license,
            card=details.card,
            base_model_id=details.base_model_id,
            task_id=details.task_id,
            experiment_id=details.experiment_id,
            created_by=context.principal.user_id,
        )
    )
    session.flush()
    files = sorted(queries.files(session, model), key=lambda file: file.sha256)
    quotas.charge_storage(session, context.project_id, sum(file.size for file in files))
    for file in files:
        storage.add_reference(session, file, project_id=context.project_id, model_id=again.id)
    audit.record(
        session,
        context.actor,
        AuditAction.MODEL_REGISTERED,
        "model",
        again.uuid,
        project=context.project_uuid,
        name=again.name,
        version=again.version,
        same_as=f"{model.name}@{model.version}",
        size=again.size,
    )
    session.flush()
    return again, True


def record_registered(session: Session, model: Model, project: UUID | None, task: Task) -> None:
    """Write an audit entry for a model that is ready."""
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.MODEL_REGISTERED,
        "model",
        model.uuid,
        project=project,
        name=model.name,
        version=model.version,
        task=task.uuid,
        size=model.size,
    )


def card_text(files: Iterable[StoredFile]) -> str | None:
    """Return the text of the README.md among ``files``, cut to the maximum length."""
    for file in files:
        if file.path == CARD:
            length = min(file.size, MAX_CARD_BYTES)
            content = b"".join(get_store().read(file.sha256, 0, length))
            return clean_text(content.decode("utf-8", "replace"))
    return None


def usable_model(session: Session, context: ProjectContext, meant: UUID | str) -> Model:
    """Return a ready model that tasks of the project may read: its own or a shared one.

    It is named by uuid, or as ``name@version`` or ``name@alias``. All references to models that
    requests contain are resolved here. The model is locked against deletion until the transaction
    ends.

    Raises:
        NotFound: the model does not exist, or belongs to another project.
        ModelNotReady: the model's files are not complete.
    """
    model = queries.lock_usable(session, context, meant)
    if model is None:
        raise NotFound(resource="model")
    details = queries.details_of(session, model)
    if details.status != ModelStatus.READY:
        raise ModelNotReady(model=f"{model.name}@{model.version}", model_status=details.status)
    return model


def use_model(session: Session, context: ProjectContext, meant: UUID | str) -> tuple[int, str]:
    """Return the id and the label of a model, for domains that can't import its class.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
    """
    model = usable_model(session, context, meant)
    return model.id, f"{model.name}@{model.version}"


def language_model(session: Session, context: ProjectContext, meant: UUID | str) -> Model:
    """Return a usable model that writes text; see :func:`usable_model`.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
        ModelWritesNoText: it is an encoder, or its head gives scores.
    """
    model = usable_model(session, context, meant)
    require_text(session, model)
    return model


def require_text(session: Session, model: Model) -> None:
    """Refuse a model that writes no text.

    Raises:
        ModelWritesNoText: it is an encoder, or its head gives scores.
    """
    _require_text(f"{model.name}@{model.version}", _kind_of(session, model))


def tunable_model(
    session: Session, context: ProjectContext, meant: UUID | str, method: TrainingMethod
) -> Model:
    """Return a usable model that the method can tune; see :func:`usable_model`.

    Raises:
        NotFound, ModelNotReady: see :func:`usable_model`.
        ModelNotTunable: the method tunes other kinds of models.
    """
    model = usable_model(session, context, meant)
    kind, possible = _kind_of(session, model), SPECS[method].tunes
    if kind not in possible:
        raise ModelNotTunable(
            model=f"{model.name}@{model.version}",
            method=method.value,
            kind=KIND_NAMES[kind].en,
            kind_zh=KIND_NAMES[kind].zh,
            possible=" or ".join(KIND_NAMES[one].en for one in possible),
            possible_zh="或".join(KIND_NAMES[one].zh for one in possible),
        )
    return model


def _kind_of(session: Session, model: Model) -> ModelKind:
    return kind_of(queries.details_of(session, model).card.get("facts") or {})


def _require_text(label: str, kind: ModelKind) -> None:
    if kind is not ModelKind.LANGUAGE_MODEL:
        names = KIND_NAMES[kind]
        raise ModelWritesNoText(model=label, kind=names.en, kind_zh=names.zh)


def input_ref(session: Session, model: Model, role: str) -> InputRef:
    """Return a model as a task input. Its hash covers the paths and contents of all its files."""
    files = queries.files(session, model)
    return InputRef(
        role=role,
        label=f"{model.name}@{model.version}",
        content_hash=tree_hash((file.path, file.sha256) for file in files),
        model_id=model.id,
    )


def model_inputs(session: Session, model: Model) -> list[InputRef]:
    """Return the task inputs for a model: the model itself, then its base model if any."""
    refs = [input_ref(session, model, MODEL)]
    base_id = queries.details_of(session, model).base_model_id
    base = None if base_id is None else session.get(Model, base_id)
    if base is not None:
        refs.append(input_ref(session, base, BASE_MODEL))
    return refs


def delete_model(
    session: Session, actor: Actor, model_id: int, *, project: UUID | None = None
) -> BinEntry | None:
    """Put a model into the bin. Return the bin entry, which contains the time of the purge.

    The model's own import is cancelled. Other unfinished readers, models that were tuned from it,
    and aliases prevent the deletion. A shared model goes into the bin of the project in which it
    was created; if that was deleted, the model is deleted permanently and the result is None.

    Raises:
        NotFound: the model is already deleted.
        ModelInUse: an unfinished task reads it (for example a deployment), or a model was tuned
            from it.
        ModelHasAliases: an alias points to it.
    """
    # Tasks are locked before the model, as when tasks end, so that the two can't deadlock.
    for task in queries.unfinished_imports(session, model_id):
        if task.status != TaskStatus.CANCELLING:
            with suppress(TaskFinished):  # it has just ended
                request_cancel(session, actor, task, project=project)
    locked = queries.lock_model(session, model_id)
    if locked is None:
        raise NotFound(resource="model")
    model, details = locked
    imports = {task.id for task in queries.unfinished_imports(session, model_id)}
    # Submitting a task locks the models that it reads, so no reader can appear after this check.
    users = [
        f"{task.name} ({task.status})"
        for task in queries.unfinished_readers(session, model_id)
        if task.id not in imports or task.status != TaskStatus.CANCELLING
    ]
    users += queries.tuned_from(session, model_id)
    if users:
        shown = ", ".join(users[:5])
        raise ModelInUse(users=shown if len(users) <= 5 else f"{shown}, +{len(users) - 5}")
    # Moving an alias locks the version, so no alias can appear after this check.
    aliases = queries.aliases_of(session, model.id)
    if aliases:
        raise ModelHasAliases(model=f"{model.name}@{model.version}", aliases=", ".join(aliases))
    audit.record(
        session,
        actor,
        AuditAction.MODEL_DELETED,
        "model",
        model.uuid,
        project=project,
        name=model.name,
        version=model.version,
    )
    return discard(session, actor, model, details)


def resolve_model(
    session: Session, context: ProjectContext, meant: UUID | str | FromTask
) -> Model | None:
    """Return the model named in a spec, locked against deletion; None if it does not exist yet.

    Raises:
        NotFound, ModelNotReady, ModelWritesNoText: see :func:`language_model`; NotFound also for a
            task of another project.
        TypeMakesNoModel: the named task is not a training task.
        DependencyFailed: the training task did not succeed.
        ModelMissing: the training task completed, but its model was deleted.
    """
    if not isinstance(meant, FromTask):
        return language_model(session, context, meant)
    [need] = dependencies.lock_required_tasks(
        session, context.project_id, [After(task=meant.from_task)]
    )
    if need.task.type != TaskType.TRAINING:
        raise TypeMakesNoModel(name=need.task.name, task_type=need.task.type)
    if not need.settled:
        _require_text(f"of the task {need.task.name}", kind_made_by(need.task.config.get("method")))
        return None
    model = _produced_model(session, need.task)
    try:
        return language_model(session, context, model.uuid)
    except NotFound as error:
        raise ModelMissing(name=need.task.name) from error


def pin_produced_model(session: Session, task: Task, training: Task) -> Model:
    """Set the model of a completed training task as an input of ``task``, which waited for it.

    Raises:
        ModelMissing: the model was deleted.
    """
    model = _produced_model(session, training)
    pin_model(session, task, model.id, model.uuid, model_inputs(session, model))
    return model


def _produced_model(session: Session, training: Task) -> Model:
    model = None if training.model_id is None else session.get(Model, training.model_id)
    if model is None:
        raise ModelMissing(name=training.name)
    return model


def pin_model(
    session: Session, task: Task, model_id: int, uuid: UUID, inputs: Sequence[InputRef]
) -> None:
    """Write a model into the spec and inputs of a waiting task.

    The first of ``inputs`` is the model itself.
    """
    task.config = {**task.config, "model": str(uuid)}
    task.model_id = model_id
    for item in inputs:
        session.add(
            TaskInput(
                task_id=task.id,
                role=item.role,
                label=item.label[:400],
                content_hash=item.content_hash,
                model_id=item.model_id,
            )
        )
    label = inputs[0].label
    add_event(session, task, "model_pinned", model=str(uuid), label=label)
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.TASK_MODEL_PINNED,
        "task",
        task.uuid,
        project=projects_queries.uuid_of(session, task.project_id),
        name=task.name,
        model=uuid,
        inputs=[item.label for item in inputs],
    )
    session.flush()
