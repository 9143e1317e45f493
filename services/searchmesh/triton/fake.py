"""A backend without a server, for unit tests: deterministic vectors, and switches for what can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np
from numpy.typing import NDArray

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import SearchmeshError
from searchmesh.triton.backend import Priority, Tensor, Tensors

_MERGED = 4
"""Patches that become one image feature."""


class FakeBackend:
    """Serves any encoder: a token's vector depends on its id and position, or is an image's feature; a sentence's is
    their masked mean, that of a picked token the mean of all up to it.
    """

    def __init__(self, dimensions: int = 8, *, delay_s: float = 0.0) -> None:
        self.dimensions = dimensions
        self.delay_s = delay_s
        self.error: SearchmeshError | None = None
        """Raised by every inference while set."""
        self.shapes: list[tuple[int, ...]] = []
        """Shape of the first input of each inference so far: `input_ids`, or patches."""
        self.calls: list[tuple[str, Tensors]] = []
        """Model and inputs of each."""
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
        self.shapes.append(next(iter(inputs.values())).shape)
        self.calls.append((model, inputs))
        self.priorities.append(priority)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return {name: self._output(name, inputs) for name in outputs}

    def _output(self, name: str, inputs: Tensors) -> NDArray[np.float32]:
        if name == "image_features":
            patches = inputs["patches"][..., : self.dimensions]
            rows, slots, width = patches.shape
            features: NDArray[np.float32] = patches.reshape(rows, slots // _MERGED, _MERGED, width).mean(axis=2)
            return features
        tokens = self._token_embeddings(inputs)
        match name:
            case "token_embeddings":
                return tokens
            case "sentence_embedding":
                return _means(tokens, inputs["attention_mask"][:, None])[:, 0]
            case "span_embeddings":
                place = np.arange(tokens.shape[1])
                first, last = inputs["spans"][..., :1], inputs["spans"][..., 1:]
                return _means(tokens, (place >= first) & (place < last))
            case "picked_embeddings":
                return _means(tokens, np.arange(tokens.shape[1]) <= inputs["picks"][..., None])
            case "logit":
                means = _means(tokens, inputs["attention_mask"][:, None])
                return np.asarray(means.sum(axis=-1) * 3)
        raise AssertionError(f"the fake model has no output {name}")

    def _token_embeddings(self, inputs: Tensors) -> NDArray[np.float32]:
        ids = inputs["input_ids"]
        angles = (ids[..., None] + 1) * np.arange(1, self.dimensions + 1) + np.arange(ids.shape[1])[None, :, None]
        vectors: NDArray[np.float32] = np.sin(angles * 0.7).astype(np.float32)
        if "image_index" in inputs:
            index = inputs["image_index"][..., None]
            features = np.take_along_axis(inputs["image_features"], np.maximum(index, 0), axis=1)
            vectors = np.where(index >= 0, features, vectors)
        return vectors

    async def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Tensor], None]:
        """See `Backend.stream`: one response per input id."""
        for token in inputs["input_ids"].reshape(-1):
            yield {name: np.asarray([token]) for name in outputs}

    async def ready(self, model: str) -> bool:
        """See `Backend.ready`."""
        return self.error is None

    async def close(self) -> None:
        """See `Backend.close`."""


def _means(tokens: NDArray[np.float32], chosen: Tensor) -> NDArray[np.float32]:
    """Unit vectors of the chosen [rows, n, length] of the tokens [rows, length, dimensions]; zero where none is."""
    sums = chosen.astype(np.float32) @ tokens
    lengths = np.linalg.norm(sums, axis=-1, keepdims=True)
    means: NDArray[np.float32] = sums / np.maximum(lengths, np.float32(1e-12))
    return means
