"""One trace from the first service through every other into Triton and back, by W3C ``traceparent`` metadata.

Without a collector nothing is made or sent: the functions here return at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Metadata = tuple[tuple[str, str], ...]

_propagator = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None
_tracer: trace.Tracer = trace.NoOpTracer()


def configure_tracing(service: str, endpoint: str, sample_ratio: float = 1.0) -> None:
    """Send this process's spans to the OTLP/HTTP collector at `endpoint`; an empty one leaves tracing off."""
    global _provider, _tracer
    if not endpoint:
        return
    _provider = TracerProvider(
        resource=Resource.create({"service.name": f"searchmesh-{service}", "service.namespace": "searchmesh"}),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
    )
    # The processor drops spans when its queue is full: a collector that is down never blocks a request.
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    _tracer = _provider.get_tracer("searchmesh")


def shutdown_tracing() -> None:
    """Send what is still queued."""
    if _provider is not None:
        _provider.shutdown()


@contextmanager
def _server_span(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[None]:
    carrier = {key: value for key, value in metadata if isinstance(value, str)}
    parent = _propagator.extract(carrier)
    attributes = {"rpc.system": "grpc", "rpc.method": method}
    with _tracer.start_as_current_span(method, context=parent, kind=SpanKind.SERVER, attributes=attributes):
        yield


def server_span(method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> AbstractContextManager[None]:
    """The span of an incoming call, a child of the caller's span if its metadata names one."""
    return nullcontext() if _provider is None else _server_span(method, metadata or ())


@contextmanager
def _span(name: str, attributes: dict[str, str | int | float | bool]) -> Iterator[None]:
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[None]:
    """A span of an inner step."""
    return nullcontext() if _provider is None else _span(name, attributes)


def inject(*, only_sampled: bool = False) -> Metadata:
    """gRPC metadata that carries the current trace to the next service, and whether it is kept.

    `only_sampled` is for Triton, which records every call that has a ``traceparent``, also one that says not to.
    """
    if _provider is None or (only_sampled and not trace.get_current_span().get_span_context().trace_flags.sampled):
        return ()
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return tuple(carrier.items())


def trace_id() -> str:
    """The current trace id as 32 hexadecimal digits, empty outside a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
