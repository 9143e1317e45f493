"""The services of the mesh as children."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial

from searchmesh.local import probes
from searchmesh.local.child import Child
from searchmesh.local.ports import LOOPBACK, service_ports
from searchmesh.local.settings import MeshSettings


def embedding(settings: MeshSettings) -> Child:
    """The embedding service."""
    return _child(settings, "embedding", settings.ports.embedding, needs=("triton", "redis-cache"))


def reranker(settings: MeshSettings) -> Child:
    """The reranker service."""
    return _child(settings, "reranker", settings.ports.reranker, needs=("triton",))


def reader(settings: MeshSettings, *, with_vlm: bool) -> Child:
    """The reader, which needs nobody: its rules work without a model. `with_vlm`: the vision-language service runs
    beside it and reads images for it."""
    child = _child(settings, "reader", settings.ports.reader, needs=())
    # Whoever can call a service on the loopback address can fetch a URL without it, so there is nothing to protect.
    defaults = {"SEARCHMESH_FETCH_ENABLED": "true", "SEARCHMESH_PARSERS": str(_cores())}
    own = {"SEARCHMESH_VLM_TARGET": f"{LOOPBACK}:{settings.ports.vlm}"} if with_vlm else {}
    return replace(child, env={**defaults, **child.env, **own})


def vlm(settings: MeshSettings) -> Child:
    """The vision-language service."""
    return _child(settings, "vlm", settings.ports.vlm, needs=("triton",))


def router(settings: MeshSettings) -> Child:
    """The router, what clients talk to."""
    return _child(settings, "router", settings.ports.router, needs=("redis-index", "embedding", "reranker"))


def _child(settings: MeshSettings, name: str, port: int, *, needs: tuple[str, ...]) -> Child:
    ports = service_ports(port)
    return Child(
        name=name,
        # -P: what lies in the working directory must not shadow a module.
        argv=(sys.executable, "-P", "-m", f"searchmesh.{name}"),
        env=_environment(settings) | {"SEARCHMESH_PORT": str(port)},
        ports=ports,
        ready=partial(probes.service_serves, ports["health"]),
        needs=needs,
        ready_timeout_s=settings.ready_timeout_s,
        stop_grace_s=settings.stop_grace_s,
    )


def _environment(settings: MeshSettings) -> dict[str, str]:
    """Where everything is. Other ``SEARCHMESH_…`` variables of the caller reach the services as they are."""
    ports = settings.ports
    cores = _cores()
    own = {
        "PYTHONUNBUFFERED": "1",
        "SEARCHMESH_HOST": LOOPBACK,
        "SEARCHMESH_TRITON_URL": f"{LOOPBACK}:{ports.triton_grpc}",
        "SEARCHMESH_MODEL_REPOSITORY": str(settings.folder.repository),
        "SEARCHMESH_DEFAULT_MODEL": settings.default_model,
        "SEARCHMESH_CACHE_URL": f"redis://{LOOPBACK}:{ports.redis_cache}/0",
        "SEARCHMESH_INDEX_URL": f"redis://{LOOPBACK}:{ports.redis_index}/0",
        "SEARCHMESH_EMBEDDING_TARGET": f"{LOOPBACK}:{ports.embedding}",
        "SEARCHMESH_RERANKER_TARGET": f"{LOOPBACK}:{ports.reranker}",
        "SEARCHMESH_DRAIN_GRACE_S": str(settings.drain_s),
        "SEARCHMESH_OTLP_ENDPOINT": settings.otlp_endpoint,
        "SEARCHMESH_LOG_LEVEL": settings.log_level,
    }
    # As many batches in flight as an exported model has instances on this machine, one of them kept for queries.
    slots = {"SEARCHMESH_SLOTS": str(cores + 1), "SEARCHMESH_BULK_SLOTS": str(cores)}
    return slots | os.environ | own


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))
