"""Functions that receive the file of an upload in one request, and the route for imports."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import EncodingName, Reading, UploadMode
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.protocol.validation_errors import message_of, place_of
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import (
    UploadAborted,
    announced_digest,
    check_headers,
    declared_size,
    receive,
    upload_prefix,
)
from aiplatform.server.datasets import access, service
from aiplatform.server.datasets.errors import InvalidReadingOption
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.schemas import ImportRequest
from aiplatform.server.datasets.service import imports
from aiplatform.server.datasets.service.ingest import WaitForDisconnect
from aiplatform.server.datasets.service.uploads import Target, UploadParameters, take_upload
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.endpoints import render as render_task

T = TypeVar("T")

RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "the file's bytes: JSONL, JSON, CSV, TSV, Parquet, Arrow, text; or packed",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "description": text}
    for status, text in {
        400: "Damaged in transit: the digest differs",
        409: "The name is taken, or nothing has changed",
        413: "The file is too large",
        415: "A form instead of the file's bytes",
        422: "The file can't be read; `message` and `line` name the place",
        500: "The program that reads files failed; nothing is stored",
        507: "No room left",
    }.items()
}


def upload_parameters(
    filename: Annotated[
        str | None, Query(max_length=1000, description="its ending tells the format")
    ] = None,
    format: Annotated[  # noqa: A002  (the name in the API)
        DataFormat | None, Query(description="when the file name does not tell it")
    ] = None,
    message: Annotated[
        str | None, Query(max_length=10_000, description="what this version is")
    ] = None,
    base_model: Annotated[
        UUID | None,
        Query(
            description="whose tokenizer counts in the quality report, else that of the report of "
            "the version before"
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        Query(
            ge=8,
            le=1_048_576,
            description="tokens; longer rows are reported. By default 512; without `base_model`, "
            "as for the version before",
        ),
    ] = None,
    encoding: Annotated[
        EncodingName | None, Query(description="of text, when it is not what is recognised")
    ] = None,
    delimiter: Annotated[
        str | None, Query(max_length=3, description="of CSV: one character, or `tab`")
    ] = None,
    quote: Annotated[
        str | None, Query(max_length=4, description="of CSV: one character, or `none`")
    ] = None,
    header: Annotated[
        bool | None, Query(description="of CSV: false when the first record is a row")
    ] = None,
    map: Annotated[  # noqa: A002
        str | None,
        Query(
            max_length=10_000,
            description='columns and what they are, as JSON: `{"question": "prompt"}`',
        ),
    ] = None,
    types: Annotated[
        str | None,
        Query(
            max_length=100_000,
            description='of CSV: columns and their types, as JSON: `{"zip": "text"}`; the others '
            "keep the types of the version before where they fit, or are typed by their values",
        ),
    ] = None,
    bad_rows: Annotated[
        Literal["refuse", "quarantine"],
        Query(
            description="`quarantine`: rows that can't be read are set aside, as long as they are "
            "few; `format=quarantine` of the download has them"
        ),
    ] = "refuse",
    content_digest: Annotated[
        str | None, Header(description="`sha-256=:BASE64:`; refused when it differs")
    ] = None,
    x_content_sha256: Annotated[
        str | None, Header(description="SHA-256 in hexadecimal; refused when it differs")
    ] = None,
) -> UploadParameters:
    """Return the parameters of an upload from the query string and headers."""
    return UploadParameters(
        filename=filename,
        format=format,
        message=message,
        base_model=base_model,
        max_length=max_length,
        digest=announced_digest(content_digest, x_content_sha256),
        reading=_reading(
            encoding=encoding,
            delimiter=delimiter,
            quote=quote,
            header=header,
            map=map or {},
            types=types or {},
            bad_rows=bad_rows,
        ),
    )


def _reading(**options: Any) -> Reading:
    try:
        return Reading(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = place_of(first) or "delimiter"
        raise InvalidReadingOption(option=option, reason=message_of(first)) from error


UploadParametersDep = Annotated[UploadParameters, Depends(upload_parameters)]


def client_disconnected(request: Request) -> WaitForDisconnect:
    """Return an async function that returns once the client has disconnected."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return disconnected


def upload_target(
    mode: Annotated[
        UploadMode, Query(description="what the file's rows do to those of the parent")
    ] = "replace",
    key: Annotated[
        str | None,
        Query(
            min_length=1, max_length=255, description="the column that `upsert` and `delete` match"
        ),
    ] = None,
    parent: Annotated[
        str | None,
        Query(pattern=VERSION_OR_TAG, description="the version it is made from, else the current"),
    ] = None,
    allow_identical: Annotated[
        bool, Query(description="commit even when the rows are those of the parent")
    ] = False,
) -> Target:
    """Return the target of an upload without the dataset, which the caller adds.

    Raises:
        KeyColumnRequired: the mode matches rows by a key column, but none is given.
    """
    return Target(mode=mode, key=key, parent=parent, allow_identical=allow_identical)


async def receive_upload(
    request: Request,
    context: ProjectContext,
    target: Target,
    parameters: UploadParameters,
    finish: Callable[[Session, Dataset], T],
) -> T:
    """Receive the file in a request and commit it; return what ``finish`` returns.

    An upload that would be rejected at the end anyway is rejected before its first byte is read.
    """
    settings = get_settings()
    headers = request.headers
    limit = settings.max_upload_bytes
    check_headers(headers.get("content-type"), headers.get("content-length"), limit)

    def check_in_advance() -> None:
        with transaction() as session:
            service.check_upload_allowed(
                session,
                context,
                name=target.name,
                base_model=parameters.base_model,
                size=declared_size(headers.get("content-length")),
            )

    await run_in_threadpool(check_in_advance)

    async with upload_prefix(settings.spool_dir) as prefix:
        try:
            spooled = await receive(
                request.stream(),
                prefix.with_suffix(".upload"),
                limit=limit,
                expected=parameters.digest,
            )
        except ClientDisconnect as error:
            raise UploadAborted from error
        return await take_upload(
            context,
            target,
            parameters,
            spooled,
            prefix=prefix,
            disconnected=client_disconnected(request),
            finish=finish,
        )


imports_router = APIRouter(prefix="/api/v1")


@imports_router.post(
    "/projects/{project}/dataset-imports",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Import a dataset",
    responses={409: PROBLEMS[409], 422: PROBLEMS[422]},
)
@sends_headers("Location")
def import_dataset(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    response: Response,
    body: ImportRequest,
) -> TaskOut:
    """Queue a task that fetches rows from a URL, an S3 store or a hub, and commits them.

    The task's `result` names the dataset and the version. The platform connects only to public
    addresses, the hub named in the settings, and networks that an administrator allowed. The task
    can be cancelled. An interrupted download is resumed where it stopped, if the source supports
    that.
    """
    task = imports.request_import(session, context, body.spec())
    response.headers["Location"] = f"/api/v1/tasks/{task.uuid}"
    return render_task(session, context, task)
