"""HTTP routes for models, their aliases and their files."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.model_sources import UploadSource
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.references import ALIAS_PATTERN
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.models import (
    BaseModelOut,
    ModelAliasMoveOut,
    ModelAliasOut,
    ModelFileOut,
    ModelOut,
)
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import set_etag, set_purge_after
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_by_id,
    render_page,
)
from aiplatform.server.core.paths import ANY_PATH
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.raw_body import (
    ExpectedDigest,
    describe_body,
    describe_errors,
    receive_body,
)
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.access import Principal, SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service.quotas import check_storage_available
from aiplatform.server.queue.endpoints import render as render_task
from aiplatform.server.registry import access, queries, service
from aiplatform.server.registry.access import ModelContext
from aiplatform.server.registry.models import Model, ModelAlias, ModelAliasMove
from aiplatform.server.registry.queries import Entry
from aiplatform.server.registry.rules import kind_of
from aiplatform.server.registry.schemas import (
    AliasMoveIn,
    AliasUndoIn,
    LineageExperimentOut,
    LineageOut,
    LineageTaskOut,
    ModelIn,
    SourceVersionOut,
)

entries_router = APIRouter(prefix="/api/v1")

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "The state of the model does not allow it"}
}
NameFilter = Annotated[str | None, Query(max_length=255, description="exactly this name")]
VersionFilter = Annotated[
    str | None,
    Query(max_length=50, description="exactly this version, or what this alias points to"),
]
Reader = Annotated[ModelContext, Depends(access.READ)]
Writer = Annotated[ModelContext, Depends(access.WRITE)]


def render(entry: Entry) -> ModelOut:
    """Return the response body of a model.

    A model without details was inserted into the database by another program and has no files.
    """
    model, details = entry.model, entry.details
    card = {} if details is None else details.card
    source = {"source": card["source"]} if card.get("source") else {}
    return ModelOut(
        uuid=model.uuid,
        project=entry.project,
        name=model.name,
        version=model.version,
        aliases=entry.aliases,
        status=ModelStatus.PENDING if details is None else ModelStatus(details.status),
        framework=model.framework,
        kind=kind_of(card.get("facts") or {}),
        base_model=_base(entry),
        license=None if details is None else details.license,
        size=model.size,
        metrics=model.metrics,
        card=card.get("text"),
        facts={**source, **card.get("facts", {})},
        task=entry.task,
        experiment=entry.experiment,
        error=None if details is None else details.error,
        author=(
            None
            if entry.author is None
            else UserRef(uuid=entry.author[0], username=entry.author[1])
        ),
        created_at=model.created_at,
    )


def _base(entry: Entry) -> BaseModelOut | None:
    if entry.base is None:
        return None
    uuid, name, version = entry.base
    return BaseModelOut(uuid=uuid, name=name, version=version)


@entries_router.get("/models", summary="List models everywhere")
def list_models(
    principal: Annotated[Principal, Depends(access.BROWSE)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: NameFilter = None,
    version: VersionFilter = None,
) -> Page[ModelOut]:
    """List shared models, and the models of all projects that you may read, newest first."""
    statement = queries.readable_models(principal, name=name, version=version)
    rows, following = page_by_id(session, statement, Model.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: render(queries.entry_of(row)))


@entries_router.get("/projects/{project}/models", summary="List a project's models")
def list_project_models(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: NameFilter = None,
    version: VersionFilter = None,
) -> Page[ModelOut]:
    """List the project's own models, newest first."""
    statement = queries.project_models(context, name=name, version=version)
    rows, following = page_by_id(session, statement, Model.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: render(queries.entry_of(row)))


@entries_router.post(
    "/projects/{project}/models",
    status_code=status.HTTP_201_CREATED,
    summary="Bring a model in",
    responses=CONFLICT,
)
@sends_headers("Location")
def create_model(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    request: Request,
    response: Response,
    body: ModelIn,
) -> ModelOut:
    """Create a model and import its files.

    If the source is a hub or a package, the import is queued immediately and named in `task`. For
    an upload, PUT its files to `models/{model}/files/PATH`, then POST `models/{model}/import`.
    """
    if body.shared:
        access.require_shared(context, session, request)
    model = service.create_model(
        session,
        context,
        name=body.name,
        version=body.version,
        source=body.source,
        license=body.license,
        shared=body.shared,
        secrets=body.secrets,
    )
    if not isinstance(body.source, UploadSource):
        service.start_import(session, context.principal, model.id, context)
    response.headers["Location"] = f"/api/v1/models/{model.uuid}"
    return render(queries.get_entry(session, model.id))


@entries_router.post(
    "/models/{model}/import",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Import what was uploaded",
    responses=CONFLICT,
)
def import_model(context: Writer, session: SessionDep) -> TaskOut:
    """Queue the import of uploaded files, or repeat an import that failed."""
    task = service.start_import(session, context.principal, context.model_id, context.project)
    return render_task(session, context.project, task)


@entries_router.get("/models/{model}", summary="Read a model")
@sends_headers("ETag")
def get_model(context: Reader, session: SessionDep, response: Response) -> ModelOut:
    """Return a model with its card."""
    entry = queries.get_entry(session, context.model_id)
    changed = entry.model.created_at if entry.details is None else entry.details.updated_at
    set_etag(response, changed)
    return render(entry)


@entries_router.get("/models/{model}/lineage", summary="Trace a model")
def get_model_lineage(context: Reader, session: SessionDep) -> LineageOut:
    """Return the dataset versions, base model, task and experiment that a model comes from."""
    entry = queries.get_entry(session, context.model_id)
    if entry.details is None:
        return LineageOut(dataset_versions=[], base_model=None, task=None, experiment=None)
    task_id = entry.details.task_id
    sources = [] if task_id is None else queries.made_from(session, task_id)
    task, experiment = queries.task_and_experiment(session, entry.details)
    return LineageOut(
        dataset_versions=[
            SourceVersionOut.model_validate(source, from_attributes=True) for source in sources
        ],
        base_model=_base(entry),
        task=None if task is None else LineageTaskOut.model_validate(task, from_attributes=True),
        experiment=(
            None
            if experiment is None
            else LineageExperimentOut.model_validate(experiment, from_attributes=True)
        ),
    )


@entries_router.delete(
    "/models/{model}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a model",
    responses=CONFLICT,
)
@sends_headers(sometimes=("Purge-After",))
def delete_model(context: Writer, session: SessionDep, response: Response) -> None:
    """Delete a model, unless an unfinished task, a tuned model or an alias needs it.

    The model can be restored from the project's bin until the time in the header `Purge-After`.
    """
    entry = service.delete_model(
        session, context.actor, context.model_id, project=context.project_uuid
    )
    if entry is not None:
        set_purge_after(response, entry.purge_after)


aliases_router = APIRouter(prefix="/api/v1")
AliasName = Annotated[
    str, Path(pattern=ALIAS_PATTERN, description="lower-case, as in `production`")
]


def render_alias(row: Any) -> ModelAliasOut:
    """Return the response body of an alias, from a row of ``queries.list_aliases``."""
    alias: ModelAlias = row[0]
    return ModelAliasOut(
        project=row.project_uuid,
        model_name=alias.model_name,
        name=alias.name,
        model=row.model_uuid,
        version=row.version,
        reason=alias.reason,
        moved_by=_mover(row),
        moved_at=alias.moved_at,
    )


def _mover(row: Any) -> UserRef | None:
    if row.mover_uuid is None:
        return None
    return UserRef(uuid=row.mover_uuid, username=row.mover_name)


def _show_alias(session: Session, context: ModelContext, alias: str) -> ModelAliasOut:
    model = queries.get_entry(session, context.model_id).model
    return render_alias(queries.get_alias(session, model, alias))


@aliases_router.get("/projects/{project}/model-aliases", summary="List a project's aliases")
def list_project_aliases(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[
        str | None, Query(max_length=255, description="exactly this name of a model")
    ] = None,
) -> Page[ModelAliasOut]:
    """List the aliases of the project's own models, most recently created first."""
    statement = queries.project_aliases(context, name=name)
    rows, following = page_by_id(session, statement, ModelAlias.id, limit=limit, cursor=cursor)
    return render_page(rows, following, render_alias)


@aliases_router.get("/models/{model}/aliases", summary="List a model's aliases")
def list_model_aliases(
    context: Reader, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[ModelAliasOut]:
    """List the aliases of all versions of the model, most recently created first."""
    statement = queries.aliases_beside(queries.get_entry(session, context.model_id).model)
    rows, following = page_by_id(session, statement, ModelAlias.id, limit=limit, cursor=cursor)
    return render_page(rows, following, render_alias)


@aliases_router.put(
    "/models/{model}/aliases/{alias}", summary="Set or move an alias", responses=CONFLICT
)
def set_model_alias(
    alias: AliasName, context: Writer, session: SessionDep, body: AliasMoveIn
) -> ModelAliasOut:
    """Point the alias to this version. From now on, `name@alias` refers to this version.

    Tasks that were submitted earlier keep the version that the alias pointed to at that time.
    """
    service.set_alias(session, context, alias, expected=body.expected, reason=body.reason)
    return _show_alias(session, context, alias)


@aliases_router.post(
    "/models/{model}/aliases/{alias}/undo", summary="Undo the last move", responses=CONFLICT
)
def undo_alias_move(
    alias: AliasName, context: Writer, session: SessionDep, body: AliasUndoIn
) -> ModelAliasOut:
    """Point the alias to its previous version again, or restore a deleted alias.

    Each further request undoes one more move. `{model}` is any version of the model.
    """
    service.undo(session, context, alias, expected=body.expected, reason=body.reason)
    return _show_alias(session, context, alias)


@aliases_router.get("/models/{model}/aliases/{alias}/moves", summary="List an alias's moves")
def list_alias_moves(
    alias: AliasName,
    context: Reader,
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ModelAliasMoveOut]:
    """List the moves of an alias, newest first, even if the alias was deleted."""
    statement = queries.alias_moves(queries.get_entry(session, context.model_id).model, alias)
    rows, following = page_by_id(session, statement, ModelAliasMove.id, limit=limit, cursor=cursor)
    return render_page(rows, following, _render_move)


def _render_move(row: Any) -> ModelAliasMoveOut:
    move: ModelAliasMove = row[0]
    return ModelAliasMoveOut(
        alias=move.alias,
        from_model=row.from_uuid,
        from_version=move.from_version,
        to_model=row.to_uuid,
        to_version=move.to_version,
        reason=move.reason,
        is_undo=move.undoes is not None,
        undone=row.undone,
        moved_by=_mover(row),
        moved_at=move.moved_at,
    )


@aliases_router.delete(
    "/models/{model}/aliases/{alias}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete an alias",
)
def delete_model_alias(
    alias: AliasName,
    context: Writer,
    session: SessionDep,
    reason: Annotated[
        str | None, Query(max_length=1000, description="why; kept in its history")
    ] = None,
) -> None:
    """Delete the alias. Its history and the version that it points to are kept."""
    service.delete_alias(session, context, alias, reason)


files_router = APIRouter(prefix="/api/v1/models/{model}/files")

FilePath = Annotated[
    str, Path(description="relative, of plain names: letters, digits and . _ + @ = -")
]


def render_file(file: StoredFile) -> ModelFileOut:
    """Return the response body of a model file."""
    return ModelFileOut(path=file.path, size=file.size, sha256=file.sha256)


@files_router.get("", summary="List a model's files")
def list_model_files(
    context: Annotated[ModelContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ModelFileOut]:
    """List files by path: `weights/` contains the whole model, `adapter/` only the LoRA weights."""
    after = ""
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
    files, last = queries.page_of_files(session, context.model_id, after=after, limit=limit)
    return Page(
        items=[render_file(file) for file in files],
        next_cursor=None if last is None else encode_cursor(last),
    )


@files_router.put(
    ANY_PATH,
    summary="Upload a model's file",
    openapi_extra=describe_body("the file's bytes"),
    responses=describe_errors("file", s409="The model accepts no files, or no further ones"),
)
async def put_model_file(
    path: FilePath,
    context: Annotated[ModelContext, Depends(access.WRITE)],
    expected: ExpectedDigest,
    request: Request,
) -> ModelFileOut:
    """Upload a file of a model. Until the import, it is stored below `source/`.

    An earlier file with the same path is replaced. The upload is refused during an import and once
    the model is ready.
    """
    service.check_path(path)

    def check_in_advance(size: int) -> None:
        with transaction() as session:
            model, _ = service.open_for_files(session, context.model_id)
            if model.project_id is not None:
                check_storage_available(session, model.project_id, size)

    def keep(spooled: Spooled) -> ModelFileOut:
        with transaction() as session:
            now = access.confirm(session, context, Permission.MODELS_WRITE)
            file = service.add_file(
                session, now.actor, now.model_id, path, spooled, project=now.project_uuid
            )
            return render_file(file)

    limit = get_settings().max_upload_bytes
    return await receive_body(
        request, expected, limit=limit, check_in_advance=check_in_advance, keep=keep
    )


@files_router.get(
    ANY_PATH,
    summary="Download a model's file",
    response_class=Response,
    responses=downloads.DOCUMENTATION,
)
@sends_headers(*downloads.HEADERS)
def get_model_file(
    path: FilePath,
    context: Annotated[ModelContext, Depends(access.READ)],
    session: SessionDep,
    request: Request,
) -> Response:
    """Return a file as an attachment, with its length, ETag and digest. Ranges are supported."""
    file = queries.get_file(session, context.model_id, path)
    name = file.path.rpartition("/")[2]
    response = downloads.send_blob(request, file, name, "application/octet-stream")
    if response.status_code in downloads.CONTENT_STATUSES:
        audit.record(
            session,
            context.actor,
            AuditAction.MODEL_DOWNLOADED,
            "model",
            context.model_uuid,
            project=context.project_uuid,
            path=file.path,
            range=request.headers.get("range", "")[:100] or None,
        )
    return response


router = APIRouter(tags=["models"])
router.include_router(entries_router)
router.include_router(aliases_router)
router.include_router(files_router)
