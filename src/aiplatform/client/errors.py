"""What can go wrong, in words for the person at the keyboard.

The server answers every refusal with an RFC 9457 problem document; it becomes one of the exceptions
below, chosen by status. Programs test the class or :attr:`ApiError.code`; people read
``str(error)``.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from aiplatform.language import tr


class ClientError(Exception):
    """Root of everything that the SDK raises on purpose.

    ``hint`` says what to do about it, or is empty.
    """

    hint: str = ""


class ApiError(ClientError):
    """The server refused or could not be reached.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
        code: the stable, dotted name of the problem, such as ``dataset.malformed``.
        title: what kind of problem it is.
        detail: what was wrong this time, and what to do.
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
    """No session, or one that ended (401)."""

    hint = "Log in with `aiplatform login`, or set AIPLATFORM_TOKEN."


class PermissionDenied(ApiError):
    """Known, but not allowed (403)."""


class PasswordChangeRequired(PermissionDenied):
    """The account has a password that must be replaced before anything else is allowed (403)."""

    hint = "Choose a new one: `aiplatform login` asks for it, Client.change_password() sets it."


class NotFound(ApiError):
    """Not there, or in a project that is not yours to see (404)."""


class Conflict(ApiError):
    """The request contradicts the state of things, a name in use for instance (409)."""


class PreconditionFailed(Conflict):
    """Someone changed the resource since it was read (412)."""

    hint = "Read it again, and repeat the change on what it is now."


class ValidationFailed(ApiError):
    """The request or the uploaded file is not what it should be (400, 413, 415, 422, 428)."""


class RateLimited(ApiError):
    """Too many requests (429)."""

    hint = "Wait a little, and try again."


class ServerUnavailable(ApiError):
    """The server did not answer, or answered that it cannot work now (502, 503, 504)."""

    hint = (
        "Is it running? `aiplatform up` starts it. The address comes from --url, AIPLATFORM_URL or "
        "the last login; `aiplatform --url ADDRESS login` names another server."
    )


class UnexpectedAnswer(ClientError):
    """The server answered something that this version of the SDK cannot read."""

    hint = "Is the address right, and are client and server of the same version?"


class AmbiguousName(ClientError):
    """A name, or none at all, that stands for several things."""


class CorruptDownload(ClientError):
    """What arrived is not what the server has: hash or size differ. Nothing was kept."""

    hint = "Try again; if it happens twice, a proxy or the storage damages files."


class TaskFailed(ClientError):
    """A task that was waited for failed or was cancelled; ``task`` is its last state."""

    def __init__(self, message: str, task: Any) -> None:
        super().__init__(message)
        self.task = task
        self.hint = tr("Its log: `aiplatform tasks logs {uuid:quoted}`.", uuid=task.uuid)


class NotReady(ClientError):
    """A dataset, model or deployment that was waited for failed instead of becoming ready."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class WaitTimeout(ClientError, TimeoutError):
    """What was waited for did not happen in time; it goes on, only the waiting ended."""


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
    """The exception for a response that was read and whose status is an error."""
    status = response.status_code
    document = _document(response)
    if document is None:
        # Not ours: a proxy, or another program at this address.
        phrase = f"{status} {response.reason_phrase}".strip()
        kind = response.headers.get("content-type", "nothing")
        return _BY_STATUS.get(status, ApiError)(
            tr(
                "{url} answered {phrase} ({kind}), which AI Platform does not",
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
    """The exception for a problem document."""
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
        # A 503 with a problem document came from a server that does run.
        hint="" if kind_of is ServerUnavailable else None,
    )


def unreachable(url: str, error: httpx.TransportError) -> ServerUnavailable:
    """The exception for a connection that could not be made or was lost."""
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
                hint=tr("The server may be busy: `aiplatform status` tells. Try again later."),
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
        hint=tr("Try again; `aiplatform status` tells whether the server is well."),
    )


def _document(response: httpx.Response) -> dict[str, Any] | None:
    """The problem document, also from the form that OpenAI's clients expect."""
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
    if not isinstance(body.get("detail", ""), str):  # FastAPI's own form: a list of errors
        return {"title": response.reason_phrase, "errors": body["detail"]}
    return body


def _with_fields(text: str, errors: Any) -> str:
    """``text``, followed by what was wrong with each field."""
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
