"""The part of :mod:`.tracing` that uses OpenTelemetry; imported only while tracing is on.

OpenTelemetry's standard variables configure the exporter, the sampling and the service name
(``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME``, …). The SDK reads
them itself.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import aiplatform
from aiplatform.server.core.tracing import Attribute, Kind

KINDS: dict[Kind, SpanKind] = {
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "server": SpanKind.SERVER,
}
_propagator = TraceContextTextMapPropagator()


class Traces:
    """This process's tracer; not registered globally, so libraries add no spans to it."""

    def __init__(self, service: str) -> None:
        attributes = {
            "service.instance.id": str(os.getpid()),
            "service.version": aiplatform.__version__,
        }
        if "service.name" not in OTELResourceDetector().detect().attributes:
            attributes["service.name"] = f"aiplatform-{service}"
        self._provider = TracerProvider(resource=Resource.create(attributes))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("aiplatform", aiplatform.__version__)

    def shut_down(self) -> None:
        """Send the remaining spans and stop."""
        self._provider.shutdown()

    @contextmanager
    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Attribute]
    ) -> Iterator[Span]:
        """See :func:`tracing.span`."""
        with self._tracer.start_as_current_span(
            name, _context(parent), KINDS[kind], dict(attributes)
        ) as current:
            yield current

    def begin(self, name: str, at: float, parent: str | None = None) -> Span:
        """See :func:`tracing.begin`."""
        return self._tracer.start_span(name, _context(parent), start_time=round(at * 1e9))

    @staticmethod
    def describe(attributes: Mapping[str, Attribute]) -> None:
        """Add attributes to the current span."""
        trace.get_current_span().set_attributes(dict(attributes))

    @staticmethod
    def fail(reason: str) -> None:
        """Mark the current span as failed."""
        trace.get_current_span().set_status(Status(StatusCode.ERROR, reason))

    @staticmethod
    def traceparent() -> str | None:
        """Return the current span as a W3C ``traceparent``."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get("traceparent")

    @staticmethod
    def ids() -> dict[str, str]:
        """Return the ids of the current span, for the log."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return {}
        return {
            "trace_id": trace.format_trace_id(found.trace_id),
            "span_id": trace.format_span_id(found.span_id),
        }


def _context(parent: str | None) -> Context | None:
    """Return the context of a ``traceparent``; None means the current context.

    An invalid ``traceparent`` begins a new trace, as the standard requires.
    """
    return None if parent is None else _propagator.extract({"traceparent": parent}, Context())
