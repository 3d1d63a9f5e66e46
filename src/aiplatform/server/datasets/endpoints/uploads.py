"""Uploads: the bytes of a file, streamed to disk and read by a child process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from aiplatform.data.packing import Packed
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import EncodingName, Reading
from aiplatform.protocol.validation_errors import message_of, place_of
from aiplatform.server.core.database import transaction
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import (
    Spooled,
    UploadAborted,
    announced_digest,
    check_headers,
    declared_size,
    disk_space_required,
    receive,
    upload_prefix,
)
from aiplatform.server.datasets import service
from aiplatform.server.datasets.errors import InvalidReadingOption
from aiplatform.server.datasets.rules import safe_filename
from aiplatform.server.datasets.schemas import UploadParameters
from aiplatform.server.datasets.service import Upload
from aiplatform.server.datasets.service.ingest import WaitForDisconnect, ingest
from aiplatform.server.datasets.service.packing import (
    pack_upload,
    previous_column_types,
    reusable_files,
)
from aiplatform.server.projects.access import ProjectContext

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
    """Return the parameters of an upload."""
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
    """Return an async function that returns when the client has disconnected."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return disconnected


@asynccontextmanager
async def receive_upload(
    request: Request,
    context: ProjectContext,
    parameters: UploadParameters,
    *,
    name: str | None = None,
    dataset: UUID | None = None,
    parent: str | None = None,
) -> AsyncIterator[Upload]:
    """Yield the parsed upload of a request; its files exist until the block ends.

    What would be refused at the end anyway is refused before the first byte is read. If ``dataset``
    is given, only parts that its current version does not have are stored.
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
                name=name,
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
        yield await parse_upload(
            prefix,
            spooled,
            parameters,
            context,
            dataset,
            client_disconnected(request),
            parent=parent,
        )


async def parse_upload(
    prefix: Path,
    spooled: Spooled,
    parameters: UploadParameters,
    context: ProjectContext,
    dataset: UUID | None,
    disconnected: WaitForDisconnect,
    *,
    parent: str | None = None,
) -> Upload:
    """Parse a file that has arrived and pack it in parts; all its files begin with ``prefix``.

    Columns keep the types that they have in the version ``parent`` of ``dataset``, by default the
    current one, where the values allow it.

    Raises:
        MalformedFile: the content does not match the format.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`service.ingest.ingest`.
    """
    filename = safe_filename(parameters.filename or "")
    ingested = await ingest(
        spooled.path,
        prefix.with_suffix(".parquet"),
        filename=filename,
        format=parameters.format,
        disconnected=disconnected,
        reading=parameters.reading,
        previous_types=await run_in_threadpool(previous_column_types, context, dataset, parent),
        project=context.project_uuid,
    )

    def packed() -> dict[str, Packed]:
        with disk_space_required():
            return pack_upload(ingested, spooled, filename, reusable_files(context, dataset))

    return Upload(
        filename=filename,
        spooled=spooled,
        ingested=ingested,
        message=parameters.message,
        base_model=parameters.base_model,
        max_length=parameters.max_length,
        packed=await run_in_threadpool(packed),
    )
