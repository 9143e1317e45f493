"""A backend without a server, for unit tests: deterministic vectors, and switches for what can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
from numpy.typing import NDArray

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import SearchmeshError
from searchmesh.triton.backend import Priority, Tensor, Tensors


class FakeBackend:
    """Serves any encoder: a token's vector depends on its id and position, a sentence's is their masked mean."""

    def __init__(self, dimensions: int = 8, *, delay_s: float = 0.0) -> None:
        self.dimensions = dimensions
        self.delay_s = delay_s
        self.error: SearchmeshError | None = None
        """Raised by every inference while set."""
        self.shapes: list[tuple[int, ...]] = []
        """Shape of `input_ids` of each inference so far."""
        self.priorities: list[Priority] = []
        self.running = 0
        self.most_running = 0

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
        self.shapes.append(inputs["input_ids"].shape)
        self.priorities.append(priority)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        tokens = self._token_embeddings(inputs["input_ids"])
        mask = inputs["attention_mask"][..., None].astype(np.float32)
        sentence = (tokens * mask).sum(axis=1) / mask.sum(axis=1)
        sentence /= np.linalg.norm(sentence, axis=1, keepdims=True)
        made = {"token_embeddings": tokens, "sentence_embedding": sentence}
        return {name: made[name] for name in outputs}

    def _token_embeddings(self, ids: Tensor) -> NDArray[np.float32]:
        angles = (ids[..., None] + 1) * np.arange(1, self.dimensions + 1) + np.arange(ids.shape[1])[None, :, None]
        vectors: NDArray[np.float32] = np.sin(angles * 0.7).astype(np.float32)
        return vectors

    async def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncIterator[dict[str, Tensor]]:
        """See `Backend.stream`: one response per input id."""
        for token in inputs["input_ids"].reshape(-1):
            yield {name: np.asarray([token]) for name in outputs}

    async def ready(self, model: str) -> bool:
        """See `Backend.ready`."""
        return self.error is None

    async def close(self) -> None:
        """See `Backend.close`."""
