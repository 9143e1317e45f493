"""The two Redis servers: a cache that may forget, and an index that may not."""

from __future__ import annotations

import os
from functools import partial

from searchmesh.local import binaries, probes
from searchmesh.local.child import Child
from searchmesh.local.ports import LOOPBACK
from searchmesh.local.settings import MeshSettings


def cache(settings: MeshSettings) -> Child:
    """Holds vectors by content: bounded memory, nothing on disk, the least frequently used go first."""
    return _child(
        settings,
        "redis-cache",
        settings.ports.redis_cache,
        ("--maxmemory", f"{settings.cache_memory_mb}mb", "--maxmemory-policy", "allkeys-lfu", "--appendonly", "no"),
    )


def index(settings: MeshSettings) -> Child:
    """Holds passages, vectors and the search module: refuses writes rather than evict, and survives a restart."""
    return _child(
        settings,
        "redis-index",
        settings.ports.redis_index,
        (
            *("--maxmemory", f"{settings.index_memory_mb}mb", "--maxmemory-policy", "noeviction"),
            *("--appendonly", "yes", "--appendfsync", "everysec"),
            *("--loadmodule", str(binaries.redisearch_module())),
        ),
    )


def _child(settings: MeshSettings, name: str, port: int, own: tuple[str, ...]) -> Child:
    data = settings.folder.data(name)
    return Child(
        name=name,
        argv=(
            *(str(binaries.redis_server()), "--bind", LOOPBACK, "--port", str(port), "--dir", str(data)),
            # Snapshots would fork the whole memory every few minutes; the index has its append-only file.
            *("--save", ""),
            # The title would be written over the environment, by which the supervisor finds its processes.
            *("--set-proc-title", "no"),
            *own,
        ),
        env=dict(os.environ),
        ports={"Redis": port},
        ready=partial(probes.redis_answers, port),
        prepare=partial(data.mkdir, parents=True, exist_ok=True),
        ready_timeout_s=settings.ready_timeout_s,
        stop_grace_s=settings.stop_grace_s,
    )
