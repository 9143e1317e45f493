"""The life of a service process: listen, warm up, serve, drain, exit.

::

    start ─► NOT_SERVING ─► warm() returns ─► SERVING ─► SIGTERM ─► NOT_SERVING ─► wait ─► drain ─► exit 0

Health follows the service's own readiness (its warm-up ran a real inference), not its dependencies afterwards: if
a backend that all pods share went away and every front pod left the endpoints, a fault of one part would become a
fault of all.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from searchmesh.runtime import workers
from searchmesh.runtime.auth import ApiKeys
from searchmesh.runtime.errors import FailedPrecondition, SearchmeshError
from searchmesh.runtime.rpc import Gate, Rpc
from searchmesh.runtime.settings import ServiceSettings, shown
from searchmesh.runtime.telemetry import (
    configure_logging,
    configure_metrics,
    configure_tracing,
    shutdown_tracing,
)

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)

LIVE = "live"
"""Name in grpc.health.v1 that serves as long as the event loop answers: for liveness probes, which must not restart a
process because it warms up or drains."""


@dataclass(frozen=True)
class Service:
    """What a service's folder gives to the runtime."""

    servicers: Mapping[ServiceDescriptor, object]
    """Each served gRPC service and the object with its methods (see `runtime.rpc`)."""

    warm: Callable[[], Awaitable[None]]
    """Returns when the service can answer; retries what it needs by itself."""

    always_served: frozenset[str] = frozenset({"searchmesh.v1.Models"})
    """Full names of services that answer before the warm-up is done."""


def main(name: str, settings_type: type[S], build: Callable[[S], AbstractAsyncContextManager[Service]]) -> None:
    """Entry point of ``python -m searchmesh.NAME``; does not return before the process should exit.

    `build` is an async context manager: it makes the service and, after the drain, closes what it opened.
    """
    settings = settings_type()
    if "--show-config" in sys.argv[1:]:
        print(shown(settings))
        return
    configure_logging(name, settings.log_level)
    if settings.workers > 1:
        sys.exit(workers.supervise(name, settings.workers))
    try:
        uvloop.run(_run(name, settings, build))
    except SearchmeshError as error:
        log.error("%s", error.message)
        sys.exit(1)


async def _run(name: str, settings: S, build: Callable[[S], AbstractAsyncContextManager[Service]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.share_port:
        workers.stop_with_parent(stop)
    configure_tracing(name, settings.otlp_endpoint, settings.trace_sample_ratio)
    with _listening(settings.host, settings.metrics_port):
        configure_metrics(name, settings.host, settings.metrics_port)
    try:
        async with build(settings) as service:
            await serve(settings, service, stop)
    finally:
        shutdown_tracing()
    log.info("stopped")


async def serve(settings: ServiceSettings, service: Service, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then drain. Raises FailedPrecondition if a port cannot be listened on."""
    gate = Gate(settings.max_in_flight)
    rpc = Rpc(gate, ApiKeys(settings.api_keys_file) if settings.api_keys_file else None)
    health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it
    names = [descriptor.full_name for descriptor in service.servicers]
    server = _grpc_server(settings)
    for descriptor, servicer in service.servicers.items():
        needs_ready = descriptor.full_name not in service.always_served
        server.add_generic_rpc_handlers((rpc.handler(descriptor, servicer, needs_ready=needs_ready),))
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    with _listening(settings.host, settings.port):
        _add_port(server, settings)
    probes = _grpc_server(settings)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, probes)
    with _listening(settings.host, settings.health_port):
        probes.add_insecure_port(f"{settings.host}:{settings.health_port}")

    async def announce(serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        for name in ("", *names):
            await health_servicer.set(name, states.SERVING if serving else states.NOT_SERVING)

    await health_servicer.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
    await announce(False)
    await server.start()
    await probes.start()
    log.info("listening on %s:%d", settings.host, settings.port)
    try:
        if await _first(service.warm(), stop):
            gate.ready = True
            await announce(True)
            log.info("serving")
            await stop.wait()
            log.info("draining")
            await announce(False)
            await asyncio.sleep(settings.drain_wait_s)
    finally:
        await server.stop(settings.drain_grace_s)
        await probes.stop(0)


def _add_port(server: grpc.aio.Server, settings: ServiceSettings) -> None:
    address = f"{settings.host}:{settings.port}"
    if settings.tls is None:
        server.add_insecure_port(address)
    else:
        credentials = settings.tls.server_credentials(require_client=settings.tls_client_auth)
        server.add_secure_port(address, credentials)


@contextmanager
def _listening(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # what http.server and grpc raise
        raise FailedPrecondition(f"cannot listen on {host}:{port}: {error}", reason="PORT_TAKEN") from error


async def _first(warm: Awaitable[None], stop: asyncio.Event) -> bool:
    """Whether `warm` finished before `stop` was set. What `warm` raises is raised."""
    warming = asyncio.ensure_future(warm)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({warming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if warming.done():
            warming.result()
        return warming.done()
    finally:
        warming.cancel()
        stopping.cancel()


def _grpc_server(settings: ServiceSettings) -> grpc.aio.Server:
    return grpc.aio.server(
        options=[
            ("grpc.so_reuseport", int(settings.share_port)),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.max_connection_age_grace_s * 1000)),
            ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
            # Clients of the mesh ping idle connections; without this the server answers with GOAWAY.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5000),
        ]
    )
