"""Runs all of a request that waits for the database in one thread.

Without this module, FastAPI would call the endpoint in one thread, validate its answer in a second
one, serialise it on the event loop while all other requests wait, and commit in a third thread.
"""

from inspect import iscoroutinefunction
from typing import Any

from fastapi import Response, status
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute

from aiplatform.server.core.database import commit, get_session


def answer_in_one_thread(route: APIRoute) -> None:
    """Let the endpoint's thread also serialise the answer and commit the session.

    Routes without a session, asynchronous endpoints and ready-made answers are left to FastAPI. The
    description of the API does not change.
    """
    dependant, endpoint, field = route.dependant, route.endpoint, route.response_field
    session_name = _session_parameter(dependant)
    if session_name is None or iscoroutinefunction(endpoint):
        return
    is_plain = field is not None and isinstance(route.response_class, DefaultPlaceholder)

    def call(**values: Any) -> Any:
        answer = endpoint(**values)
        if is_plain and not isinstance(answer, Response):
            answer = _serialise(route, answer, values.get(dependant.response_param_name or ""))
        commit(values[session_name])
        return answer

    dependant.call = call


def _session_parameter(dependant: Dependant) -> str | None:
    """Return the name of the endpoint's parameter that gets the request's session."""
    for dependency in dependant.dependencies:
        if dependency.call is get_session:
            return dependency.name
    return None


def _serialise(route: APIRoute, answer: Any, given: Response | None) -> Response:
    """Return the answer as FastAPI would, with the status and headers that the endpoint set."""
    field = route.response_field
    assert field is not None
    value, errors = field.validate(answer, {}, loc=("response",))
    if errors:
        raise ResponseValidationError(errors=errors, body=answer)
    content = field.serialize_json(
        value,
        include=route.response_model_include,
        exclude=route.response_model_exclude,
        by_alias=route.response_model_by_alias,
        exclude_unset=route.response_model_exclude_unset,
        exclude_defaults=route.response_model_exclude_defaults,
        exclude_none=route.response_model_exclude_none,
    )
    chosen = (given.status_code if given is not None else None) or route.status_code
    response = Response(content, chosen or status.HTTP_200_OK, media_type="application/json")
    if given is not None:
        response.headers.raw.extend(given.headers.raw)
    return response
