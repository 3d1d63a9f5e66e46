"""Use cases for code bundles and for the tasks that run them."""

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.data.bundles import BundleError, BundleFacts, inspect
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.server.core import audit, storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import DEFAULT_QUEUE, SCRIPT_LABEL, get_settings
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries as datasets_queries
from aiplatform.server.datasets import service as datasets
from aiplatform.server.execution.errors import TooManyArtifacts
from aiplatform.server.execution.rules import MAX_ARTIFACTS
from aiplatform.server.execution.service.external import check_path
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import InputRef, Inputs, Outcome, Prepared
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.scripts import queries
from aiplatform.server.scripts.errors import BundleInUse, InvalidBundle, ScriptsNotAllowed
from aiplatform.server.scripts.models import CodeBundle

CODE_ROLE = "code"
DATASETS = "datasets/"
MODELS = "models/"
BUNDLE_FILE = "bundle.tar.gz"


def require_allowed() -> None:
    """Raise an error unless an administrator allows scripts.

    Raises:
        ScriptsNotAllowed: its message says how to allow them.
    """
    if not get_settings().scripts:
        raise ScriptsNotAllowed


def inspect_bundle(path: Path) -> BundleFacts:
    """Check a bundle's archive and return its properties.

    Raises:
        InvalidBundle: when the archive is not safe to unpack.
    """
    try:
        return inspect(path)
    except BundleError as error:
        raise InvalidBundle(reason=str(error)) from error


def add_bundle(
    session: Session,
    context: ProjectContext,
    name: str,
    spooled: Spooled,
    facts: BundleFacts,
    *,
    source: dict[str, Any] | None,
) -> CodeBundle:
    """Store an uploaded bundle.

    Raises:
        QuotaExceeded: when the project's storage quota has no room for the bundle.
        InsufficientStorage: when the disk is full.
    """
    quotas.charge_storage(session, context.project_id, spooled.size)
    with disk_space_required():
        storage.store_file(session, spooled.path, spooled.sha256, spooled.size, move=True)
    bundle = CodeBundle(
        project_id=context.project_id,
        name=name,
        sha256=spooled.sha256,
        size=spooled.size,
        files=facts.files,
        unpacked_bytes=facts.unpacked_bytes,
        source=source,
        created_by=context.principal.user_id,
    )
    session.add(bundle)
    session.flush()
    session.refresh(bundle)
    storage.add_reference(
        session,
        StoredFile(BUNDLE_FILE, spooled.sha256, spooled.size),
        project_id=context.project_id,
        bundle_id=bundle.id,
    )
    audit.record(
        session,
        context.actor,
        AuditAction.BUNDLE_UPLOADED,
        "bundle",
        bundle.uuid,
        project=context.project_uuid,
        name=name,
        sha256=spooled.sha256,
        size=spooled.size,
        source=source,
    )
    session.flush()
    return bundle


def delete_bundle(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete a bundle that no unfinished task runs. Tasks that ran it keep its hash.

    Raises:
        NotFound: when the project has no such bundle.
        BundleInUse: when an unfinished task runs it.
    """
    bundle = queries.lock_bundle(session, context, uuid)
    users = queries.unfinished_runs(session, context, uuid)
    if users:
        raise BundleInUse(task=users[0])
    session.delete(bundle)
    audit.record(
        session,
        context.actor,
        AuditAction.BUNDLE_DELETED,
        "bundle",
        uuid,
        project=context.project_uuid,
        name=bundle.name,
        sha256=bundle.sha256,
    )
    session.flush()


def require_runnable(session: Session, context: ProjectContext, task: Task) -> None:
    """Check that a script may still run and still has its code, before it is queued again.

    Raises:
        ScriptsNotAllowed: when administrators no longer allow scripts.
        NotFound: when the bundle was deleted.
    """
    require_allowed()
    queries.lock_bundle(session, context, ScriptSpec.model_validate(task.config).bundle)


def prepare(session: Session, context: ProjectContext, spec: ScriptSpec) -> Prepared:
    """Check the code and data that a script names, and choose their exact versions.

    The label of the script's environment is added. Missing limits are set to their defaults here,
    so that the scheduler takes them into account.

    Raises:
        ScriptsNotAllowed: when no administrator has allowed scripts.
        NotFound: for a bundle, dataset or model that the project may not use.
        ModelNotReady: while the files of a model are incomplete.
    """
    require_allowed()
    bundle = queries.lock_bundle(session, context, spec.bundle)
    inputs = [InputRef(CODE_ROLE, bundle.name, bundle.sha256)]
    pinned = {}
    for name, ref in spec.datasets.items():
        pinned[name], item = datasets.pinned_input(session, context, ref, DATASETS + name)
        inputs.append(item)
    models = {}
    for name, meant in spec.models.items():
        model = registry.usable_model(session, context, meant)
        models[name] = model.uuid
        inputs.append(registry.input_ref(session, model, MODELS + name))
    settings, resources = get_settings(), spec.resources
    if not resources.memory_mb:
        resources = resources.model_copy(update={"memory_mb": settings.script_memory_mb})
    label = SCRIPT_LABEL + spec.environment
    labels = [*spec.labels, *([] if label in spec.labels else [label])]
    filled = {
        "datasets": pinned,
        "models": models,
        "labels": labels,
        "max_disk_mb": spec.max_disk_mb or settings.script_disk_mb,
        "queue": settings.script_queue if spec.queue == DEFAULT_QUEUE else spec.queue,
        "resources": resources,
    }
    return Prepared(spec=spec.model_copy(update=filled), inputs=inputs)


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the files that a script gets.

    Raises:
        NotFound: when one of its inputs has since been deleted.
    """
    bundle = queries.bundle_of(session, task)
    if bundle is None:
        raise NotFound(resource="code bundle")
    inputs = Inputs(single={CODE_ROLE: StoredFile(BUNDLE_FILE, bundle.sha256, bundle.size)})
    for item in queries.inputs_of(session, task):
        if item.dataset_version_id is not None:
            file = datasets_queries.rows_file(session, item.dataset_version_id)
            if file is None:
                raise NotFound(resource="dataset version")
            inputs.single[item.role] = file
        elif item.model_id is not None:
            model = session.get_one(Model, item.model_id)
            inputs.trees[item.role] = registry_queries.files(session, model)
        elif item.role != CODE_ROLE:
            raise NotFound(resource=item.role)
    return inputs


def require_valid_artifacts(output: Path) -> None:
    """Check that every file of a script's output can be an artifact, before any is stored.

    Raises:
        InvalidFilePath: when a file has a name that not every system supports.
        TooManyArtifacts: beyond :data:`MAX_ARTIFACTS`.
    """
    found = artifacts_in(output)
    if len(found) > MAX_ARTIFACTS:
        raise TooManyArtifacts(limit=MAX_ARTIFACTS)
    for path in found:
        check_path(path.relative_to(output).as_posix())


def require_storage_room(session: Session, task: UUID, output: Path) -> None:
    """Check that a script's output fits into the project's quota, before any of it is stored.

    Raises:
        QuotaExceeded: when the output exceeds the quota.
    """
    project_id = session.scalar(select(Task.project_id).where(Task.uuid == task))
    size = sum(path.lstat().st_size for path in artifacts_in(output))
    if project_id is not None and size:
        quotas.check_storage_available(session, project_id, size)


def artifacts_in(output: Path) -> list[Path]:
    """Return the files below a directory, without symbolic links."""
    return [path for path in output.rglob("*") if path.is_file() and not path.is_symlink()]


def conclude(session: Session, task: Task, outcome: Outcome) -> None:
    """Record the files in the script's output directory as artifacts of the task.

    Raises:
        QuotaExceeded: when other uploads have filled the project's quota in the meantime.
    """
    if task.project_id is None:  # the project is deleted, so nobody could read the artifacts
        return
    if outcome.files:
        size = sum(file.size for file in outcome.files)
        quotas.charge_storage(session, task.project_id, size)
    for file in outcome.files:
        storage.add_reference(session, file, project_id=task.project_id, task_id=task.id)
    session.flush()
