"""Traces, metrics and logs, all by OpenTelemetry's interfaces. Content of requests is never recorded."""

from searchmesh.runtime.telemetry.logs import configure_logging
from searchmesh.runtime.telemetry.metrics import configure_metrics, meter
from searchmesh.runtime.telemetry.tracing import (
    configure_tracing,
    inject,
    server_span,
    shutdown_tracing,
    span,
    trace_id,
)

__all__ = [
    "configure_logging",
    "configure_metrics",
    "configure_tracing",
    "inject",
    "meter",
    "server_span",
    "shutdown_tracing",
    "span",
    "trace_id",
]
