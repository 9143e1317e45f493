"""What a service says of its models, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from searchmesh.router.ports import Embedder, Model, Reranker
from searchmesh.runtime.errors import SearchmeshError

FRESH_S = 30.0
"""Age at which the list is asked for again. What it says of a model changes only with a new deployment."""

REFRESH_S = 1.0
"""Longest wait for the list where an older one is at hand."""


class KnownModels:
    """The models of one service by name; the empty name is its default one."""

    def __init__(self, service: Embedder | Reranker) -> None:
        self._service = service
        self._models: Mapping[str, Model] = {}
        self._asked_at = -FRESH_S

    async def get(self, name: str, *, timeout_s: float) -> Model | None:
        """The model, None if the service does not list it. Raises what the service raises, unless the model is known
        from before.
        """
        if name not in self._models:
            await self._ask(timeout_s)
        elif time.monotonic() - self._asked_at >= FRESH_S:
            with suppress(SearchmeshError):
                await self._ask(min(timeout_s, REFRESH_S))
        return self._models.get(name)

    async def _ask(self, timeout_s: float) -> None:
        # Noted before the answer is there: one search asks, those beside it go on with what is known.
        self._asked_at = time.monotonic()
        models = await self._service.models(timeout_s=timeout_s)
        default = {"": model} if (model := next((one for one in models if one.is_default), None)) else {}
        self._models = default | {model.name: model for model in models}

    def reading(self, modality: str) -> list[str]:
        """Names of the models, as they were when last asked for, that read content of a kind."""
        return sorted(name for name, model in self._models.items() if name and modality in model.modalities)
