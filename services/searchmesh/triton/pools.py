"""Several tritonservers behind one backend: each model is asked of the pool that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from searchmesh.runtime.deadlines import Deadline
from searchmesh.triton.backend import Backend, Priority, Tensor, Tensors
from searchmesh.triton.client import TritonBackend


class TritonPools:
    """`Backend` on the tritonserver at `url`, except for the models of `routes` (model → gRPC address)."""

    def __init__(self, url: str, routes: Mapping[str, str], connect: Callable[[str], Backend] = TritonBackend) -> None:
        self._pools = {address: connect(address) for address in (url, *routes.values())}
        self._default = self._pools[url]
        self._routes = {model: self._pools[address] for model, address in routes.items()}

    def _pool(self, model: str) -> Backend:
        return self._routes.get(model, self._default)

    async def infer(
        self,
        model: str,
        inputs: Tensors,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
    ) -> dict[str, Tensor]:
        """See `Backend.infer`."""
        return await self._pool(model).infer(model, inputs, outputs, deadline=deadline, priority=priority)

    def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Tensor], None]:
        """See `Backend.stream`."""
        return self._pool(model).stream(model, inputs, outputs, deadline=deadline)

    async def ready(self, model: str) -> bool:
        """See `Backend.ready`."""
        return await self._pool(model).ready(model)

    async def close(self) -> None:
        """See `Backend.close`."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))


def parse_routes(value: object) -> object:
    """``model=address,…`` as a mapping; anything else as it is. Raises ValueError for an entry without an address."""
    if not isinstance(value, str):
        return value
    entries = [entry.strip().partition("=") for entry in value.split(",") if entry.strip()]
    for model, _, address in entries:
        if not model or not address:
            raise ValueError(f"{model or address!r} is not model=address")
    return {model: address for model, _, address in entries}
