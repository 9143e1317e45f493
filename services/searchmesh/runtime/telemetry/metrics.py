"""Metrics by OpenTelemetry, scraped by Prometheus."""

from __future__ import annotations

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, start_http_server

# Seconds. From a cache hit (under 1 ms) to a long rerank on a CPU; about 2.5 steps a decade keep series few.
_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def configure_metrics(service: str, host: str, port: int) -> None:
    """Collect this process's metrics and serve them at ``http://host:port/metrics``. Raises OSError if taken."""
    registry = CollectorRegistry()
    start_http_server(port, addr=host, registry=registry)
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    seconds = View(instrument_unit="s", aggregation=ExplicitBucketHistogramAggregation(boundaries=_SECONDS_BUCKETS))
    resource = Resource.create({"service.name": f"searchmesh-{service}"})
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader], resource=resource, views=[seconds]))


def meter() -> metrics.Meter:
    """The meter of the mesh. Instruments made before `configure_metrics` start to count when it is called."""
    return metrics.get_meter("searchmesh")
