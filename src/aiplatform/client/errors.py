"""The SDK's exceptions, with messages for its users.

For each rejected request, the server sends an RFC 9457 problem document. Its status determines
which of the exceptions below is raised. Programs test the class or :attr:`ApiError.code`; users
read ``str(error)``.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from aiplatform.language import tr


class ClientError(Exception):
    """The base class of all exceptions that the SDK raises on purpose.

    ``hint`` suggests what to do, or is empty.
    """

    hint: str = ""


class ApiError(ClientError):
    """The server rejected a request or could not be reached.

    Attributes:
        status: the HTTP status; 0 if there was no response.
        code: the stable, dotted name of the problem, such as ``dataset.malformed``.
        title: the kind of problem.
        detail: the problem in this case, and what to do.
        params: further members of the problem document.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        code: str = "",
        title: str = "",
        params: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.params: dict[str, Any] = dict(params or {})
        if hint is not None:
            self.hint = hint


class Unauthenticated(ApiError):
    """There is no session, or it has ended (401)."""

    hint = "Log in with `aiplatform login`, or set AIPLATFORM_TOKEN."


class PermissionDenied(ApiError):
    """The account lacks a permission (403)."""


class PasswordChangeRequired(PermissionDenied):
    """The account has a password that must be replaced before anything else is allowed (403)."""

    hint = "Choose a new one: `aiplatform login` asks for it, Client.change_password() sets it."


class NotFound(ApiError):
    """The resource does not exist, or its project is not visible to you (404)."""


class Conflict(ApiError):
    """The request conflicts with the current state: for instance, a name is taken (409)."""


class PreconditionFailed(Conflict):
    """The resource was changed since it was read (412)."""

    hint = "Read it again, and repeat the change."


class ValidationFailed(ApiError):
    """The request or the uploaded file is invalid (400, 413, 415, 422, 428)."""


class RateLimited(ApiError):
    """Too many requests (429)."""

    hint = "Wait a little, and try again."


class ServerUnavailable(ApiError):
    """The server could not be reached, or reported that it is unavailable (502, 503, 504)."""

    hint = (
        "Is it running? `aiplatform up` starts it. The address comes from --url, AIPLATFORM_URL or "
        "the last login; `aiplatform --url ADDRESS login` names another server."
    )


class UnexpectedAnswer(ClientError):
    """The server sent a response that this version of the SDK can't read."""

    hint = "Is the address right, and are client and server of the same version?"


class AmbiguousName(ClientError):
    """Several resources have the given name, or no name was given and the choice is unclear."""


class CorruptDownload(ClientError):
    """The hash or size of a received file differs from the announced one; it was deleted."""

    hint = "Try again; if it happens twice, a proxy or the storage damages files."


class TaskFailed(ClientError):
    """The awaited task failed or was cancelled; ``task`` is the task in its final state."""

    def __init__(self, message: str, task: Any) -> None:
        super().__init__(message)
        self.task = task
        self.hint = tr("Its log: `aiplatform tasks logs {uuid:quoted}`.", uuid=task.uuid)


class NotReady(ClientError):
    """The awaited dataset, model or deployment failed instead of becoming ready."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class WaitTimeout(ClientError, TimeoutError):
    """The awaited event did not happen in time. Only the waiting ended; the operation continues."""


_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: ValidationFailed,
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.FORBIDDEN: PermissionDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: PreconditionFailed,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ValidationFailed,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ValidationFailed,
    HTTPStatus.UNPROCESSABLE_ENTITY: ValidationFailed,
    HTTPStatus.PRECONDITION_REQUIRED: ValidationFailed,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
    HTTPStatus.BAD_GATEWAY: ServerUnavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: ServerUnavailable,
    HTTPStatus.GATEWAY_TIMEOUT: ServerUnavailable,
}


def error_from(response: httpx.Response) -> ApiError:
    """Return the exception for an error response whose body has been read."""
    status = response.status_code
    document = _document(response)
    if document is None:
        # This is not a response from AI Platform, but from a proxy or another program at this
        # address.
        phrase = f"{status} {response.reason_phrase}".strip()
        kind = response.headers.get("content-type", "nothing")
        return _BY_STATUS.get(status, ApiError)(
            tr(
                "{url} answered {phrase} ({kind}), which is not an answer of AI Platform",
                url=response.request.url,
                phrase=phrase,
                kind=kind,
            ),
            status=status,
            title=response.reason_phrase,
            hint=tr("Check the address (AIPLATFORM_URL) and the proxy in front of it."),
        )
    return error_in(document, status, response.reason_phrase)


def error_in(document: dict[str, Any], status: int, phrase: str = "") -> ApiError:
    """Return the exception for a problem document."""
    document = dict(document)
    code = str(document.pop("code", "") or "")
    title = str(document.pop("title", "") or phrase)
    detail = str(document.pop("detail", "") or "")
    for known in ("type", "status", "instance"):
        document.pop(known, None)
    kind_of = _BY_STATUS.get(status, ApiError)
    if kind_of is PermissionDenied and "password" in code:
        kind_of = PasswordChangeRequired
    return kind_of(
        _with_fields(detail or title, document.get("errors")),
        status=status,
        code=code,
        title=title,
        params=document,
        # A 503 with a problem document comes from a running server; the hint to start it would
        # mislead.
        hint="" if kind_of is ServerUnavailable else None,
    )


def unreachable(url: str, error: httpx.TransportError) -> ServerUnavailable:
    """Return the exception for a connection that failed or was lost."""
    match error:
        case httpx.ConnectError():
            text = tr("nothing answers at {url}", url=url)
            reason = str(error)
            if "refused" not in reason and reason:
                text = tr("cannot connect to {url}: {reason}", url=url, reason=reason)
            return ServerUnavailable(text, code="client.unreachable")
        case httpx.TimeoutException():
            return ServerUnavailable(
                tr("{url} did not answer in time", url=url),
                code="client.timeout",
                hint=tr("The server may be busy, see `aiplatform status`. Try again later."),
            )
        case httpx.UnsupportedProtocol():
            return ServerUnavailable(
                tr("{url} is not an http or https address", url=url),
                code="client.address",
                hint=tr("Correct AIPLATFORM_URL, for instance to http://127.0.0.1:8400."),
            )
    return ServerUnavailable(
        tr(
            "the connection to {url} was lost ({reason})",
            url=url,
            reason=error or type(error).__name__,
        ),
        code="client.connection_lost",
        hint=tr("Try again; `aiplatform status` shows whether the server is healthy."),
    )


def _document(response: httpx.Response) -> dict[str, Any] | None:
    """Return the problem document of a response; None if it contains none.

    Errors in the format of OpenAI's API are converted.
    """
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if isinstance(inner, dict) and "message" in inner:
        return {"detail": inner["message"], "code": inner.get("code") or inner.get("type") or ""}
    if not body.keys() & {"title", "detail", "code"}:
        return None
    if not isinstance(body.get("detail", ""), str):  # FastAPI's own format: a list of errors
        return {"title": response.reason_phrase, "errors": body["detail"]}
    return body


def _with_fields(text: str, errors: Any) -> str:
    """Return ``text`` with a description of each invalid field appended."""
    if not isinstance(errors, list):
        return text
    lines = []
    for error in errors:
        if not isinstance(error, dict):
            continue
        where = error.get("place") or error.get("field") or error.get("loc") or ""
        if isinstance(where, list):
            where = ".".join(str(part) for part in where if part not in {"body", "query"})
        what = error.get("message") or error.get("msg") or error.get("detail") or ""
        line = f"{where}: {what}" if where and what else str(where or what)
        if line and line not in text:
            lines.append(line)
    return f"{text.rstrip('.')}: {'; '.join(lines)}" if lines else text
