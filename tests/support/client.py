"""A client of a local mesh."""

from __future__ import annotations

from searchmesh.client import AsyncClient
from searchmesh.local import MeshSettings


def client_of(settings: MeshSettings) -> AsyncClient:
    """A client of a local mesh."""
    ports = settings.ports
    return AsyncClient(
        router=f"127.0.0.1:{ports.router}",
        embedding=f"127.0.0.1:{ports.embedding}",
        reranker=f"127.0.0.1:{ports.reranker}",
        reader=f"127.0.0.1:{ports.reader}",
        vlm=f"127.0.0.1:{ports.vlm}",
    )
