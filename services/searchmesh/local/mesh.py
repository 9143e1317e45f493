"""The mesh as a whole: which programs it has, and one way to run all or some of them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from searchmesh.catalog import ModelRepository
from searchmesh.local import redis, services
from searchmesh.local.backoff import Backoff
from searchmesh.local.child import Child
from searchmesh.local.ports import check_free
from searchmesh.local.settings import MeshSettings
from searchmesh.local.state import MeshState
from searchmesh.local.supervisor import Supervisor
from searchmesh.local.triton import served_models, triton
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, SearchmeshError

log = logging.getLogger(__name__)

_BUILDERS: Mapping[str, Callable[[MeshSettings, str, Collection[str]], Child]] = {
    "redis-cache": lambda settings, _run, _names: redis.cache(settings),
    "redis-index": lambda settings, _run, _names: redis.index(settings),
    "triton": lambda settings, run, _names: triton(settings, run),
    "embedding": lambda settings, _run, _names: services.embedding(settings),
    "reranker": lambda settings, _run, _names: services.reranker(settings),
    "reader": lambda settings, _run, names: services.reader(settings, with_vlm="vlm" in names),
    "vlm": lambda settings, _run, _names: services.vlm(settings),
    "router": lambda settings, _run, _names: services.router(settings),
}
"""Each is given the settings, the mark of the run, and the names of all children that run."""

NAMES = tuple(_BUILDERS)
"""Every child, each after those that it needs."""


def children(settings: MeshSettings, run: str, names: Collection[str] = NAMES) -> list[Child]:
    """The named children in order of start. Raises FailedPrecondition if a program or a model is missing."""
    if unknown := sorted(set(names) - set(NAMES)):
        raise InvalidArgument("only", f"has {', '.join(unknown)}; the children are {', '.join(NAMES)}")
    return [build(settings, run, names) for name, build in _BUILDERS.items() if name in names]


@asynccontextmanager
async def running(
    settings: MeshSettings,
    *,
    only: Collection[str] = (),
    on_change: Callable[[MeshState], None] = lambda _: None,
    backoff: Callable[[], Backoff] = Backoff,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[Supervisor]:
    """Run the mesh, or `only` some of its children (as `settings.only`), in the block; all are ready inside.

    `on_change` sees every change of a child. Setting `hurry` cuts the grace of the stop short. Raises
    FailedPrecondition if a mesh runs on this home, a port is taken, a program or model is missing, or a child fails.
    """
    home = settings.folder
    names = only or settings.only or _usual(settings)
    with home.locked():
        run = f"{home.id}/{secrets.token_hex(4)}/"
        state = MeshState.of_this_process()

        def changed(**fields: Any) -> None:
            nonlocal state
            state = state.model_copy(update=fields)
            try:
                state.write(home.state_file)
            except OSError as error:  # a full disk is no reason to stop supervising
                log.warning("%s could not be written: %s", home.state_file, error)
            on_change(state)

        try:
            resolved = _resolved(settings, names)
            changed(settings=resolved.model_dump(mode="json"))
            specs = children(resolved, run, names)
            async with Supervisor(
                specs,
                home=home,
                run=run,
                on_change=lambda states: changed(children=states),
                backoff=backoff,
                hurry=hurry,
            ) as supervisor:
                check_free({child.name: child.ports for child in specs})
                await supervisor.start()
                yield supervisor
        except SearchmeshError as error:
            changed(error=error.message, reason=error.reason)
            raise


def _usual(settings: MeshSettings) -> tuple[str, ...]:
    """Every child, but the vision-language service where no model for it is exported: it has nothing else to do."""
    repository = ModelRepository(settings.folder.repository)
    for name in repository.names():
        try:
            card = repository.load(name).card
        except SearchmeshError:  # whoever needs the model will say so
            continue
        if card.kind == "generation" and card.image is not None:
            return NAMES
    return tuple(name for name in NAMES if name != "vlm")


def _resolved(settings: MeshSettings, names: Collection[str]) -> MeshSettings:
    """The settings with the models that tritonserver will load, among them the default model of the services."""
    if "triton" not in names:
        return settings
    models = served_models(settings)
    if {"embedding", "reranker"} & set(names) and settings.default_model not in models:
        raise FailedPrecondition(
            f"tritonserver would load {', '.join(models)} and not the default model {settings.default_model}; "
            f"run: searchmesh models export {settings.default_model}, or set SEARCHMESH_DEFAULT_MODEL",
            reason="MODEL_NOT_EXPORTED",
        )
    return settings.model_copy(update={"models": models})
