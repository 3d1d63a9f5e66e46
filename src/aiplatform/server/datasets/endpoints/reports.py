"""Routes for quality reports: request, read, compare, and download as an HTML page."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.data.reports import Subject, compare_reports, render_report
from aiplatform.protocol.gates import Gate
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.shapes.datasets import ReportOut
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core import downloads
from aiplatform.server.core.description import header, sends_headers
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.models import DatasetVersion, QualityReportHistory
from aiplatform.server.datasets.queries import reports
from aiplatform.server.datasets.rules import safe_filename
from aiplatform.server.datasets.schemas import QualityReport, QualityRequest, ReportChanges
from aiplatform.server.datasets.service import gates
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.endpoints import render as render_task

router = APIRouter(prefix="/api/v1/datasets/{dataset}/versions")

Label = Annotated[
    str, Path(pattern=VERSION_OR_TAG, description="`v1`, `v2`, …, or a tag: `prod`, `@prod`")
]
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
)
def get_dataset_report(
    dataset: UUID, version: Label, context: Reader, session: SessionDep, made: ReportUuid = None
) -> dict[str, Any]:
    """Return a version's report: 409 while it is being made, 404 if there is none."""
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
    """List all reports ever made of a version, newest first."""
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
    """Compare the version's report with that of `since`: what got better and what got worse.

    With `made` and `since_made`, two reports of one version can be compared.
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

    It is always sent as an attachment, because it contains rows that other people wrote.
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
    """Queue a quality report: for another base model or length, or compared with other data."""
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
