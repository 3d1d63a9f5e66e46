"""Optional traces (``AIPLATFORM_TRACES``) from the request through its task to the child process.

Code that should appear in traces calls the functions here. While tracing is off, they only check a
variable, and OpenTelemetry is not imported; :mod:`.otel` is the part that uses it.
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
    """Tracing is switched on in this process, but the required packages are missing."""


def start(settings: Settings, service: str) -> None:
    """Start tracing if the settings switch it on. ``service`` is ``api`` or ``worker``.

    Raises:
        TracesUnavailable: packages are missing; the message says what to install.
    """
    global _traces  # noqa: PLW0603  (one tracer per process)
    if not settings.traces or _traces is not None:
        return
    require_packages(settings)
    from aiplatform.server.core.otel import Traces  # noqa: PLC0415  (slow; needed only while on)

    _traces = Traces(service)


def require_packages(settings: Settings) -> None:
    """Check that the tracing packages are installed if tracing is on, without importing them.

    Raises:
        TracesUnavailable: packages are missing; the message says what to install.
    """
    if settings.traces and not packages_installed():
        raise TracesUnavailable(
            "AIPLATFORM_TRACES is on, but OpenTelemetry is not installed: "
            "pip install 'aiplatform[otel]', or switch it off"
        )


def packages_installed() -> bool:
    """Return True if the extra ``otel`` is installed."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # its parent packages are missing, too
        return False


def stop() -> None:
    """Send the remaining spans and stop tracing."""
    global _traces
    traces, _traces = _traces, None
    if traces is not None:
        traces.shut_down()


def is_on() -> bool:
    """Return True if this process records traces."""
    return _traces is not None


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | None = None,
    attributes: Mapping[str, Attribute] | None = None,
) -> Iterator["Span | None"]:
    """Yield a span that covers the block; None while tracing is off.

    ``parent`` is a W3C ``traceparent``; by default it is the current span, if there is one. An
    exception that leaves the block marks the span as failed.
    """
    if _traces is None:
        yield None
        return
    with _traces.span(name, kind, parent, attributes or {}) as current:
        yield current


def describe(**attributes: Attribute) -> None:
    """Add attributes to the current span: ``task_type`` becomes ``aiplatform.task.type``."""
    if _traces is not None:
        _traces.describe({f"aiplatform.{k.replace('_', '.')}": v for k, v in attributes.items()})


def fail(reason: str) -> None:
    """Mark the current span as failed."""
    if _traces is not None:
        _traces.fail(reason)


def begin(name: str, at: float) -> Any:
    """Start a child of the current span at ``at``, in seconds since the epoch; see :func:`end`."""
    return None if _traces is None else _traces.begin(name, at)


def end(begun: Any, at: float) -> None:
    """End a span returned by :func:`begin`."""
    if begun is not None:
        begun.end(round(at * 1e9))


def record(name: str, begun: float, ended: float, parent: str | None) -> None:
    """Record a span that has already ended; times are in seconds since the epoch."""
    if _traces is not None:
        end(_traces.begin(name, begun, parent), ended)


def traceparent() -> str | None:
    """Return the current span as a W3C ``traceparent``, to continue the trace elsewhere."""
    return None if _traces is None else _traces.traceparent()


def add_ids(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Add the trace and span ids to a log line."""
    if _traces is not None:
        line.update(_traces.ids())
    return line
