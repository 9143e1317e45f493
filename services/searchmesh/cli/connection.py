"""The client that commands use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from searchmesh.client import Client
    from searchmesh.local import Ports

TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Longest wait for the answer.")]


def connected(timeout_s: float = 30.0) -> Client:
    """A client of the mesh, see `targets`."""
    # What goes wrong on a connection is what the command says; gRPC's own lines beside it would only confuse.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from searchmesh.client import Client

    return Client(**targets(), timeout_s=timeout_s)


def targets() -> dict[str, str]:
    """Where the services are, as a client's arguments: what SEARCHMESH_…_TARGET name, else the mesh on this home."""
    from searchmesh.client import ClientSettings

    settings = ClientSettings()
    named = {
        name.removesuffix("_target"): getattr(settings, name)
        for name in settings.model_fields_set
        if name.endswith("_target")
    }
    ports = _running()
    if ports is None:
        return named
    local = {
        "router": ports.router,
        "embedding": ports.embedding,
        "reranker": ports.reranker,
        "reader": ports.reader,
        "vlm": ports.vlm,
    }
    return {name: f"127.0.0.1:{port}" for name, port in local.items()} | named


def _running() -> Ports | None:
    """Ports of the mesh that runs on this home: it may have been shifted when it was started."""
    from searchmesh.local import MeshSettings, MeshState

    state = MeshState.read(MeshSettings().folder.state_file)
    return MeshSettings(**state.settings).ports if state is not None and state.owner_lives() else None
