"""Routes for quality reports, the rows of their findings, and the quality gate."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from aiplatform.data.reports import Subject, compare_reports, render_report
from aiplatform.protocol.gates import Gate
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.shapes.datasets import FixedRowOut, FixPreviewOut, ReportOut
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.protocol.specs import FixAction
from aiplatform.server.core import downloads
from aiplatform.server.core.description import header, sends_headers
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS
from aiplatform.server.datasets.endpoints.versions import Label, RowSelection, row_selection
from aiplatform.server.datasets.models import DatasetVersion, QualityReportHistory
from aiplatform.server.datasets.queries import reports
from aiplatform.server.datasets.rules import safe_filename
from aiplatform.server.datasets.schemas import (
    GateRule,
    GateVerdict,
    QualityReport,
    QualityRequest,
    ReportChanges,
    RowPage,
)
from aiplatform.server.datasets.service import gates, indexes
from aiplatform.server.datasets.service.changes import base_version
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.endpoints import render as render_task

gates_router = APIRouter(prefix="/api/v1")


@gates_router.get("/projects/{project}/dataset-gate", summary="Read the quality gate")
def get_dataset_gate(
    context: Annotated[ProjectContext, Depends(access.LIST)], session: SessionDep
) -> Gate:
    """Return the rules that a quality report must meet before its version is used for training."""
    return gates.gate_of(session, context.project_id)


@gates_router.put("/projects/{project}/dataset-gate", summary="Set the quality gate")
def set_dataset_gate(
    context: Annotated[ProjectContext, Depends(access.SET_GATE)], session: SessionDep, body: Gate
) -> Gate:
    """Replace all rules. Training tasks that are already queued or running are not rechecked."""
    return gates.set_gate(session, context, body)


@gates_router.get("/datasets/{dataset}/versions/{version}/gate", summary="Ask the quality gate")
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


router = APIRouter(prefix="/api/v1/datasets/{dataset}/versions")

Since = Annotated[
    str, Query(pattern=VERSION_OR_TAG, description="the version or tag to compare with")
]
ReportUuid = Annotated[
    UUID | None, Query(description="one of all reports that were made; by default the newest")
]
SinceReportUuid = Annotated[
    UUID | None,
    Query(description="one of the reports of `since`; by default its newest"),
]
Reader = Annotated[ProjectContext, Depends(access.READ)]

BEING_MADE: dict[int | str, dict[str, Any]] = {
    409: {
        "model": ProblemDocument,
        "description": "The report is being made",
        "headers": {"Retry-After": header("Retry-After")},
    }
}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The page", "content": {"text/html": {}}},
    **BEING_MADE,
}


@router.get(
    "/{version}/report",
    summary="Read the quality report",
    responses={200: {"model": QualityReport}, **BEING_MADE},
    # A report omits fields that have no value, such as ``quarantined`` if all rows were readable.
    response_model_exclude_none=True,
)
def get_dataset_report(
    dataset: UUID, version: Label, context: Reader, session: SessionDep, made: ReportUuid = None
) -> dict[str, Any]:
    """Return a version's report; the status is 409 while it is being made, 404 if none exists."""
    found = queries.get_dataset(session, context, dataset)
    return _report(session, queries.get_version(session, found, version), made)


@router.get("/{version}/reports", summary="List the quality reports")
def list_dataset_reports(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ReportOut]:
    """List all reports ever made for a version, newest first."""
    head = queries.get_dataset(session, context, dataset)
    found = queries.get_version(session, head, version)
    rows, following = page_by_id(
        session,
        reports.list_reports(found),
        QualityReportHistory.id,
        limit=limit,
        cursor=cursor,
    )
    return render_page(rows, following, _render)


@router.get(
    "/{version}/report/changes", summary="Compare two quality reports", responses=BEING_MADE
)
def compare_dataset_reports(
    dataset: UUID,
    version: Label,
    since: Since,
    context: Reader,
    session: SessionDep,
    made: ReportUuid = None,
    since_made: SinceReportUuid = None,
) -> ReportChanges:
    """Compare a version's report with that of the version `since`, and return the differences.

    `made` and `since_made` select older reports, so two reports of one version can be compared.
    """
    head = queries.get_dataset(session, context, dataset)
    before = queries.get_version(session, head, since)
    after = queries.get_version(session, head, version)
    changes = compare_reports(_report(session, before, since_made), _report(session, after, made))
    return ReportChanges(before=before.version, after=after.version, **changes)


@router.get(
    "/{version}/report/page",
    summary="Download the quality report as a page",
    response_class=Response,
    responses=PAGE,
)
@sends_headers("Content-Disposition")
def get_dataset_report_page(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    request: Request,
    since: Annotated[
        str | None, Query(pattern=VERSION_OR_TAG, description="compare with this version or tag")
    ] = None,
    lang: Annotated[
        Literal["en", "zh"] | None, Query(description="by default as `Accept-Language` says")
    ] = None,
    made: ReportUuid = None,
    since_made: SinceReportUuid = None,
) -> Response:
    """Return the report as one self-contained HTML file.

    It is always sent as an attachment, because it contains rows that other users wrote.
    """
    head = queries.get_dataset(session, context, dataset)
    found = queries.get_version(session, head, version)
    report = _report(session, found, made)
    language = lang or language_of(request)
    changes, before = None, None
    if since is not None:
        before = queries.get_version(session, head, since)
        changes = compare_reports(_report(session, before, since_made), report)
    page = render_report(
        report,
        Subject(
            label=f"{head.name}@{found.version}",
            made=reports.report_time(session, found, made).strftime("%Y-%m-%d %H:%M UTC"),
            failures=_failures(session, context, found, language) if made is None else None,
            changes=changes,
            since="" if before is None else before.version,
        ),
        language,
    )
    filename = safe_filename(f"{head.name}-{found.version}-report.html")
    disposition = downloads.content_disposition(filename)
    return Response(
        page,
        media_type="text/html; charset=utf-8",
        headers={
            **downloads.UNTRUSTED,
            "Content-Disposition": disposition,
            "Content-Language": language,
            "Vary": "Accept-Language",
        },
    )


@router.post(
    "/{version}/quality", status_code=status.HTTP_202_ACCEPTED, summary="Make the report again"
)
def check_dataset_quality(
    dataset: UUID,
    version: Label,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    body: QualityRequest | None = None,
) -> TaskOut:
    """Queue a quality report, for example for another base model or with other comparison data."""
    asked = body or QualityRequest()
    task = service.request_report(
        session,
        context,
        dataset,
        version,
        base_model=asked.base_model,
        max_length=asked.max_length,
        against=asked.against,
    )
    return render_task(session, context, task)


def _report(session: Session, version: DatasetVersion, made: UUID | None = None) -> dict[str, Any]:
    if made is not None:
        return reports.get_report(session, version, made).report
    found = queries.report_of(session, version.id)
    if found is None:
        raise reports.missing_report_error(session, version)
    return found.report


def _failures(
    session: Session, context: ProjectContext, version: DatasetVersion, language: str
) -> list[str] | None:
    if gates.gate_of(session, context.project_id) == Gate():
        return None
    failures = gates.failures_of(session, context, version.id)
    return [failure.text_zh if language == "zh" else failure.text for failure in failures]


def _render(row: Any) -> ReportOut:
    made, task = row
    findings = made.report.get("findings") or ()
    return ReportOut(
        uuid=made.uuid,
        score=made.report.get("score"),
        findings=len(findings),
        compared_with=[str(each["label"]) for each in made.report.get("compared_with") or ()],
        task=task,
        created_at=made.created_at,
    )


findings_router = APIRouter(
    prefix="/api/v1/datasets/{dataset}/versions/{version}/findings/{finding}"
)
Finding = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_]{0,98}$", description="a code of the report")
]


@findings_router.get("/rows", summary="Browse the rows of a finding", responses=PROBLEMS)
async def list_finding_rows(
    dataset: UUID,
    version: Label,
    finding: Finding,
    context: Annotated[ProjectContext, Depends(access.READ)],
    wanted: Annotated[RowSelection, Depends(row_selection)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RowPage:
    """Return a finding's rows in order; the list is empty if the finding does not occur.

    The first request checks all rows of the version again, which takes as long as a report without
    token counts. The first request for `near_duplicates` runs a check of its own. The status is 404
    for a code that is neither in the report nor defined by the platform. It is 422 for findings
    whose rows can't be listed: findings about tokens, leakage and contamination need the data that
    the report was made with, and `boilerplate` is only counted.
    """
    offset = wanted.offset
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
    base = await run_in_threadpool(base_version, context, dataset, version)
    counted = await run_in_threadpool(indexes.reported_count, context, dataset, base.label, finding)
    with downloads.content_expected(base.rows):
        index = await indexes.build_finding_rows(base.rows, finding)
        await run_in_threadpool(indexes.require_rows, index, finding, counted)
        if wanted.sample is not None:
            found = await run_in_threadpool(
                indexes.sample, index, base.rows, finding, wanted.sample, wanted.seed
            )
        else:
            found = await run_in_threadpool(
                indexes.finding_page,
                index, base.rows, finding, offset, limit, text=wanted.search, where=wanted.where,
            )  # fmt: skip
    return RowPage(
        items=found.rows,
        places=found.positions,
        next_cursor=None if found.following is None else encode_cursor(found.following),
    )


@findings_router.get("/preview", summary="Preview a fix", responses=PROBLEMS)
async def preview_fix(
    dataset: UUID,
    version: Label,
    finding: Finding,
    context: Annotated[ProjectContext, Depends(access.READ)],
    action: Annotated[FixAction, Query(description="one of the fixes that the report lists")],
    limit: Annotated[int, Query(ge=1, le=50, description="most rows")] = 10,
) -> FixPreviewOut:
    """Return the first rows of a finding, each before and after a fix. Nothing is changed.

    The request is refused if the finding's rows can't be listed or the finding has no such fix.
    """
    base = await run_in_threadpool(base_version, context, dataset, version)
    counted = await run_in_threadpool(indexes.reported_count, context, dataset, base.label, finding)
    with downloads.content_expected(base.rows):
        index = await indexes.build_finding_rows(base.rows, finding)
        await run_in_threadpool(indexes.require_rows, index, finding, counted)
        count, items = await indexes.preview_fix(index, base.rows, finding, action, limit)
    return FixPreviewOut(count=count, items=[FixedRowOut(**item) for item in items])
