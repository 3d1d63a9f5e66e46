"""HTTP routes for experiments and their runs."""

from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from aiplatform.data.filters import (
    MAX_LENGTH,
    FilterError,
    Node,
    comparisons,
)
from aiplatform.protocol.enums import ExperimentStatus, TaskStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.experiments import (
    ComparedOut,
    ComparisonOut,
    ExperimentOut,
    ExperimentRef,
    Record,
    RunDetailOut,
    RunOut,
)
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, require_match, set_etag
from aiplatform.server.core.filters import invalid, read_filter
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.experiments import access, queries, service
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.queries import search
from aiplatform.server.experiments.queries.search import (
    EXPERIMENTS,
    ROOTS,
    RUNS,
    Order,
    Subject,
    condition,
    read_order,
    shape,
    values,
)
from aiplatform.server.experiments.schemas import (
    CloneIn,
    ExperimentChange,
    ExperimentIn,
    RerunIn,
    RunIn,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, require_additional
from aiplatform.server.queue.endpoints.tasks import render as render_task
from aiplatform.server.queue.endpoints.tasks import render_all as render_tasks
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import dependencies

Filter = Annotated[
    str | None,
    Query(
        alias="filter",
        # The limit is high so that the filter's parser can explain what is wrong with a long
        # filter.
        max_length=4 * MAX_LENGTH,
        description='such as `metrics.loss < 1.5 and config.lora.rank = 16 and tags has "prod"`',
    ),
]
Sort = Annotated[
    str | None,
    Query(
        max_length=310,
        description="`created`, `metrics.…` or `config.…`; a minus before it: the largest first",
    ),
]


def read_sort(text: str | None) -> Order:
    """Return the sort order that a request specifies.

    Raises:
        FilterInvalid: the text is not a valid order.
    """
    try:
        return read_order(text)
    except FilterError as error:
        raise invalid(error, "order") from None


def conditions(subject: Subject, node: Node | None) -> search.Conditions:
    """Return the filter as SQL conditions; without a filter, no conditions.

    Raises:
        FilterInvalid: a value is not a valid time. The returned object raises it later for an
            unknown field, or for a comparison that a field does not support.
    """
    if node is None:
        return search.Conditions(lambda _: [])

    def of(searched: Subject) -> list[ColumnElement[bool]]:
        try:
            return [condition(searched, node)]
        except FilterError as error:
            raise invalid(error) from None

    try:
        named = values(subject, node)
    except FilterError as error:
        raise invalid(error) from None
    about_figures = any(one.field.root in ROOTS for one in comparisons(node))
    return search.Conditions(of, shape(node), named, about_figures)


def require_known_figures(
    session: Session, subject: Subject, context: ProjectContext, node: Node | None
) -> None:
    """Reject a filter on fields that no row in the project has. Call it if a search finds nothing.

    Raises:
        FilterInvalid: the message names the field, and existing fields with a similar name.
    """
    asked = list(comparisons(node)) if node is not None else []
    figures = [one for one in asked if one.field.root in ROOTS and "." in one.field.path]
    found = search.unknown_figure(session, subject, context, [one.field.path for one in figures])
    if found is None:
        return
    path, known = found
    position = next(one.field.position for one in figures if one.field.path == path)
    alike = get_close_matches(path, known, n=3) or known[:3]
    raise invalid(
        FilterError(
            f"nothing in this project has {path[:100]} yet; there are, for example, "
            f"{', '.join(name[:100] for name in alike)}",
            position,
        )
    )


experiments_router = APIRouter(prefix="/api/v1")


def _problem(status_code: int, description: str) -> dict[int | str, dict[str, Any]]:
    return {status_code: {"model": ProblemDocument, "description": description}}


def _render(context: ProjectContext, row: Any) -> ExperimentOut:
    return ExperimentOut(
        uuid=row.uuid,
        project=context.project_uuid,
        name=row.name,
        description=row.description,
        note=row.note,
        tags=row.tags or [],
        archived_at=row.archived_at,
        cloned_from=row.cloned_from,
        base_model=row.base_model,
        task_type=row.task_type,
        status=ExperimentStatus(row.status),
        config=row.config,
        metrics=row.metrics,
        author=None
        if row.author_uuid is None
        else UserRef(uuid=row.author_uuid, username=row.author_name),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _show(
    session: Session, context: ProjectContext, experiment: Experiment, response: Response
) -> ExperimentOut:
    set_etag(response, experiment.updated_at)
    return _render(context, queries.get_experiment_row(session, experiment))


@experiments_router.get("/projects/{project}/experiments", summary="List experiments")
def list_experiments(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=255, description="exact name")] = None,
    archived: Annotated[
        bool | None,
        Query(description="only those in the archive, or only the others; by default the others"),
    ] = None,
    asked: Filter = None,
    sort: Sort = None,
) -> Page[ExperimentOut]:
    """List the project's experiments, newest first; filter them, or sort them by any numeric field.

    Archived experiments are included if you give a name or a filter on `archived`.
    """
    node = read_filter(asked)
    about_archive = node is not None and any(
        one.field.path == "archived" for one in comparisons(node)
    )
    if archived is None and name is None and not about_archive:
        archived = False
    meets = conditions(EXPERIMENTS, node)
    rows, following = search.page(
        session,
        EXPERIMENTS,
        context,
        queries.experiments_by_key(),
        search.Conditions(
            lambda subject: [
                *queries.experiment_conditions(
                    subject.key, named=name is not None, archived=archived
                ),
                *meets(subject),
            ],
            (name is not None, archived, meets.shape),
            {**meets.values, "name": name},
            meets.of_figures,
        ),
        read_sort(sort),
        limit=limit,
        cursor=cursor,
    )
    if not rows and cursor is None:
        require_known_figures(session, EXPERIMENTS, context, node)
    return render_page(rows, following, lambda row: _render(context, row))


@experiments_router.post(
    "/projects/{project}/experiments",
    status_code=status.HTTP_201_CREATED,
    summary="Create an experiment",
    responses=_problem(409, "The base model is not ready"),
)
@sends_headers("ETag")
def create_experiment(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    body: ExperimentIn,
    response: Response,
) -> ExperimentOut:
    """Create an experiment. Nothing is trained until a run is started."""
    experiment = service.create_experiment(
        session,
        context,
        name=body.name,
        description=body.description,
        config=body.config,
        note=body.note,
        tags=body.tags,
    )
    return _show(session, context, experiment, response)


@experiments_router.get("/experiments/{experiment}", summary="Read an experiment")
@sends_headers("ETag")
def get_experiment(
    experiment: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    response: Response,
) -> ExperimentOut:
    """Return an experiment with its ETag."""
    return _show(session, context, queries.get_experiment(session, context, experiment), response)


@experiments_router.patch(
    "/experiments/{experiment}",
    summary="Change an experiment",
    responses=_problem(412, "Changed meanwhile") | _problem(428, "If-Match is missing"),
)
@sends_headers("ETag")
def update_experiment(
    experiment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
    body: ExperimentChange,
    response: Response,
    if_match: IfMatch = None,
) -> ExperimentOut:
    """Change the given fields of an experiment. A changed config affects only later runs."""
    found = queries.lock_experiment(session, context, experiment)
    require_match(if_match, found.updated_at, "experiment")
    changes = {field: getattr(body, field) for field in body.model_fields_set}
    changed = service.update_experiment(session, context, found, changes)
    return _show(session, context, changed, response)


@experiments_router.delete(
    "/experiments/{experiment}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete an experiment",
    responses=_problem(409, "One of its runs or sweeps has not ended"),
)
def delete_experiment(
    experiment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
) -> Response:
    """Delete an experiment and its sweeps. Its tasks and models are kept."""
    service.delete_experiment(session, context, experiment)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@experiments_router.post(
    "/experiments/{experiment}/runs",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Start a training run",
    responses=_problem(
        409,
        "The base model is not ready, the data fails the quality gate, what it waits for has "
        "failed, or it is archived",
    ),
)
def start_run(
    experiment: UUID,
    request: Request,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
    body: RunIn | None = None,
) -> TaskOut:
    """Queue a training run with the experiment's config. Its dataset versions are pinned now.

    `override_gate` needs the permission `datasets:override`.
    """
    run = body or RunIn()
    if run.override_gate is not None:
        require_additional(session, context, Permission.DATASETS_OVERRIDE, request)
    # The end of a run locks the run's task first and then its experiment. Using the same order here
    # prevents a deadlock.
    dependencies.lock_required_tasks(session, context.project_id, run.after)
    found = queries.lock_experiment(session, context, experiment)
    task = service.submit_run(
        session,
        context,
        found,
        name=run.name,
        priority=run.priority,
        override_gate=run.override_gate,
        git=None if run.git is None else run.git.model_dump(),
        after=run.after,
    )
    return render_task(session, context, task)


@experiments_router.post(
    "/experiments/{experiment}/clone",
    status_code=status.HTTP_201_CREATED,
    summary="Clone an experiment",
    responses=_problem(409, "The base model is not ready"),
)
@sends_headers("ETag")
def clone_experiment(
    experiment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
    body: CloneIn,
    response: Response,
) -> ExperimentOut:
    """Copy an experiment (description, note, tags and config), with `changes` to its config."""
    original = queries.get_experiment(session, context, experiment)
    made = service.clone_experiment(
        session, context, original, name=body.name, changes=body.changes
    )
    return _show(session, context, made, response)


@experiments_router.get("/experiments/{experiment}/runs", summary="List the runs of an experiment")
def list_runs(
    experiment: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TaskOut]:
    """List the experiment's training runs and external runs, newest first."""
    statement = queries.list_runs(queries.get_experiment(session, context, experiment))
    rows, following = page_by_id(session, statement, Task.id, limit=limit, cursor=cursor)
    return Page(items=render_tasks(session, context, rows), next_cursor=following)


runs_router = APIRouter(prefix="/api/v1")
MAX_COMPARED = 20


def _fields(row: Any) -> dict[str, Any]:
    experiment = None
    if row.experiment_uuid is not None:
        experiment = ExperimentRef(uuid=row.experiment_uuid, name=row.experiment_name)
    author = None
    if row.author_uuid is not None:
        author = UserRef(uuid=row.author_uuid, username=row.author_name)
    return {
        "uuid": row.uuid,
        "experiment": experiment,
        "name": row.name,
        "type": TaskType(row.type),
        "status": TaskStatus(row.status),
        "progress": row.progress,
        "config": row.config,
        "metrics": row.metrics,
        "model": row.model,
        "rerun_of": row.rerun_of,
        "error_message": row.error_message,
        "author": author,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
    }


@runs_router.get("/projects/{project}/runs", summary="Search runs")
def list_runs_of_project(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    asked: Filter = None,
    sort: Sort = None,
) -> Page[RunOut]:
    """List runs, newest first; select them with a filter, or sort them by any numeric field.

    A run is a training run or an external run that reports its metrics. It need not belong to an
    experiment.
    """
    node = read_filter(asked)
    rows, following = search.page(
        session,
        RUNS,
        context,
        queries.runs_by_key(),
        conditions(RUNS, node),
        read_sort(sort),
        limit=limit,
        cursor=cursor,
    )
    if not rows and cursor is None:
        require_known_figures(session, RUNS, context, node)
    return render_page(rows, following, lambda row: RunOut(**_fields(row)))


@runs_router.get("/runs/{run}", summary="Read a run with its record")
def get_run(
    run: UUID,
    context: Annotated[ProjectContext, Depends(access.READ_RUN)],
    session: SessionDep,
) -> RunDetailOut:
    """Return a run and its record, which contains everything needed to repeat it."""
    row = queries.get_run_row(session, context, run)
    task = queries.get_run(session, context, run)
    return RunDetailOut(
        **_fields(row),
        record=Record(**service.record(session, task)),
        estimate=service.estimate_of_run(session, task),
    )


@runs_router.post(
    "/runs/{run}/rerun",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Do a run again",
    responses={409: {"model": ProblemDocument, "description": "What it read is not the same"}},
)
def rerun(
    run: UUID,
    context: Annotated[ProjectContext, Depends(access.RERUN)],
    session: SessionDep,
    request: Request,
    body: RerunIn | None = None,
) -> TaskOut:
    """Queue a run again, with the same config, dataset versions and seed.

    Later changes to the experiment have no effect. `override_gate` needs the permission
    `datasets:override`.
    """
    wanted = body or RerunIn()
    if wanted.override_gate is not None:
        require_additional(session, context, Permission.DATASETS_OVERRIDE, request)
    task = service.rerun(
        session,
        context,
        queries.get_run(session, context, run),
        name=wanted.name,
        priority=wanted.priority,
        override_gate=wanted.override_gate,
    )
    return render_task(session, context, task)


@runs_router.get("/projects/{project}/comparison", summary="Compare experiments and runs")
def compare(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    experiment: Annotated[list[UUID] | None, Query(max_length=MAX_COMPARED)] = None,
    run: Annotated[list[UUID] | None, Query(max_length=MAX_COMPARED)] = None,
) -> ComparisonOut:
    """Compare configs and metrics; return common values, and differing values side by side."""
    found = service.compare(session, context, experiments=experiment or (), runs=run or ())
    return ComparisonOut(
        items=[ComparedOut.model_validate(asdict(item)) for item in found.items],
        same=found.same,
        differs=found.differs,
        metrics=found.metrics,
        series=found.series,
    )
