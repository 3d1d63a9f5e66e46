"""Traces, when ``AIPLATFORM_TRACES`` is on: from the request through its task to the runtime.

Whoever does something worth a span says so here. While traces are off that costs a look at a
variable, and nothing is imported; :mod:`.otel` is what speaks with it.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from structlog.typing import EventDict

from aiplatform.server.core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from aiplatform.server.core.otel import Traces

Kind = Literal["consumer", "internal", "producer", "server"]
Attribute = str | int | float | bool

_traces: "Traces | None" = None


class TracesUnavailable(RuntimeError):
    """They are switched on, and the packages that make them are not installed."""


def start(settings: Settings, service: str) -> None:
    """Begin to trace, if the settings say so; ``service`` is what this process is: api or worker.

    Raises:
        TracesUnavailable: says what to install.
    """
    global _traces  # noqa: PLW0603  (one tracer per process)
    if not settings.traces or _traces is not None:
        return
    require_packages(settings)
    from aiplatform.server.core.otel import Traces  # noqa: PLC0415  (not paid for while it is off)

    _traces = Traces(service)


def require_packages(settings: Settings) -> None:
    """Make sure that what the settings ask for can be had; nothing is imported.

    Raises:
        TracesUnavailable: says what to install.
    """
    if settings.traces and not packages_installed():
        raise TracesUnavailable(
            "AIPLATFORM_TRACES is on, but OpenTelemetry is not installed: "
            "pip install 'aiplatform[otel]', or switch it off"
        )


def packages_installed() -> bool:
    """Whether the extra ``otel`` is there."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even its parents
        return False


def stop() -> None:
    """Send what has not been sent yet, and trace no more."""
    global _traces
    traces, _traces = _traces, None
    if traces is not None:
        traces.shut_down()


def is_on() -> bool:
    """Whether this process traces."""
    return _traces is not None


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | None = None,
    attributes: Mapping[str, Attribute] | None = None,
) -> Iterator["Span | None"]:
    """Within, everything is part of one span; None while traces are off.

    ``parent`` is a W3C ``traceparent``; without one it is the current span, if there is one. An
    exception that passes marks the span as failed.
    """
    if _traces is None:
        yield None
        return
    with _traces.span(name, kind, parent, attributes or {}) as current:
        yield current


def describe(**attributes: Attribute) -> None:
    """Say more about the current span: ``task_type`` becomes ``aiplatform.task.type``."""
    if _traces is not None:
        _traces.describe({f"aiplatform.{k.replace('_', '.')}": v for k, v in attributes.items()})


def fail(reason: str) -> None:
    """Mark the current span as failed."""
    if _traces is not None:
        _traces.fail(reason)


def begin(name: str, at: float) -> Any:
    """A span below the current one that began ``at`` (seconds since the epoch); see :func:`end`."""
    return None if _traces is None else _traces.begin(name, at)


def end(begun: Any, at: float) -> None:
    """The end of what :func:`begin` returned."""
    if begun is not None:
        begun.end(round(at * 1e9))


def record(name: str, begun: float, ended: float, parent: str | None) -> None:
    """A span that is over already; times in seconds since the epoch."""
    if _traces is not None:
        end(_traces.begin(name, begun, parent), ended)


def traceparent() -> str | None:
    """The current span as a W3C ``traceparent``, for those who go on with the trace elsewhere."""
    return None if _traces is None else _traces.traceparent()


def add_ids(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """For the log: which trace and span a line belongs to."""
    if _traces is not None:
        line.update(_traces.ids())
    return line
