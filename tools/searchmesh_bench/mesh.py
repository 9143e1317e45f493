"""The mesh that figures are measured on: one of its own, or the one that runs already."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from searchmesh.catalog import ExportedModel, ModelRepository
from searchmesh.client import AsyncClient, ClientSettings
from searchmesh.local import ChildState, MeshSettings, MeshState, Ports, free_port_offset, running
from searchmesh.local.ports import LOOPBACK
from searchmesh.runtime.errors import FailedPrecondition


@dataclass(frozen=True)
class Mesh:
    """A local mesh, all of it ready."""

    client: AsyncClient
    targets: ClientSettings
    model: ExportedModel
    """Its default model."""
    pids: Callable[[], Mapping[str, int]]
    """Process ids of its children by name, as they are now."""


@asynccontextmanager
async def own_mesh(settings: MeshSettings) -> AsyncIterator[Mesh]:
    """A mesh with the models of `settings`, on free ports and with empty caches, for the length of the block.

    Raises FailedPrecondition if the default model is not exported, and what `local.running` raises.
    """
    ModelRepository(settings.folder.repository).load(settings.default_model)
    with tempfile.TemporaryDirectory(prefix="searchmesh-bench-") as folder:
        own = settings.model_copy(
            update={"home": Path(folder), "port_offset": free_port_offset(), "models": (settings.default_model,)}
        )
        own.folder.repository.symlink_to(settings.folder.repository, target_is_directory=True)
        async with running(own) as supervisor, _connected(own, lambda: supervisor.states) as mesh:
            yield mesh


@asynccontextmanager
async def running_mesh(settings: MeshSettings) -> AsyncIterator[Mesh]:
    """The mesh that runs on the home of `settings`. Raises FailedPrecondition if none does."""
    home = settings.folder

    def state() -> MeshState:
        state = MeshState.read(home.state_file)
        if state is None or not state.ready or not home.is_locked():
            raise FailedPrecondition(f"no mesh is ready on {home.path}; start one with `searchmesh up`")
        return state

    async with _connected(MeshSettings(**state().settings), lambda: state().children) as mesh:
        yield mesh


def client_settings(ports: Ports) -> ClientSettings:
    """Where the services of a local mesh are."""
    return ClientSettings(
        router_target=f"{LOOPBACK}:{ports.router}",
        embedding_target=f"{LOOPBACK}:{ports.embedding}",
        reranker_target=f"{LOOPBACK}:{ports.reranker}",
        reader_target=f"{LOOPBACK}:{ports.reader}",
        vlm_target=f"{LOOPBACK}:{ports.vlm}",
    )


def client_of(targets: ClientSettings) -> AsyncClient:
    """A client of these services."""
    return AsyncClient(
        targets.router_target,
        targets.embedding_target,
        targets.reranker_target,
        reader=targets.reader_target,
        vlm=targets.vlm_target,
    )


@asynccontextmanager
async def _connected(settings: MeshSettings, children: Callable[[], tuple[ChildState, ...]]) -> AsyncIterator[Mesh]:
    targets = client_settings(settings.ports)
    model = ModelRepository(settings.folder.repository).load(settings.default_model)
    async with client_of(targets) as client:
        yield Mesh(client, targets, model, lambda: {child.name: child.pid for child in children() if child.pid})
