"""The steps of embedding a request, in order.

::

    resolve card and task ─► cache lookup by content ─► single-flight ─► encode the misses ─► cache fill
    ─► slice, renormalise ─► dtype
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from searchmesh.batching import Lane
from searchmesh.cache import Entry, KeySpace, RowCache, SingleFlight
from searchmesh.catalog import Task
from searchmesh.embedding.dtypes import Vectors, sliced
from searchmesh.encoding import Encoder, Encoders, Output
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation

_NO_TASK = Task()


@dataclass(frozen=True)
class Ask:
    """What is wanted of a list of texts, as the caller said it."""

    model: str = ""
    task: str = ""
    dimensions: int = 0
    output: Output = Output.SENTENCE
    truncation: Truncation = Truncation.REFUSE
    lane: Lane = Lane.INTERACTIVE
    bypass_cache: bool = False


@dataclass(frozen=True)
class Embedded:
    """Vectors float32 of all inputs, one below the other, and what each input was."""

    model: str
    vectors: Vectors
    """[sum of rows, dimensions], unit length."""
    entries: Sequence[Entry]
    """One per input; `entries[i].vectors` has the rows of input i at full size."""
    cached: Sequence[bool]
    cache_used: bool


class Pipeline:
    """Embeds texts with any of the service's models."""

    def __init__(self, encoders: Encoders, cache: RowCache | None) -> None:
        self._encoders = encoders
        self._cache = cache
        self._flights: SingleFlight[Entry] = SingleFlight()

    async def embed(self, texts: Sequence[str], ask: Ask, call: Call) -> Embedded:
        """Vectors of each text. Raises InvalidArgument (names the field), NotFound, FailedPrecondition, and what
        `Encoder.encode` raises.
        """
        encoder = self._encoders.get(ask.model)
        task = _task(encoder, ask.task)
        dimensions = _dimensions(encoder, ask)
        with call.stages.measure("cache"):
            keys = self._keys(encoder, ask, texts)
            cache = None if ask.bypass_cache else self._cache
            found = await cache.lookup(keys) if cache else None
        entries: list[Entry | None] = found or [None] * len(texts)
        missing = [position for position, entry in enumerate(entries) if entry is None]
        if missing:
            computed = await self._compute(encoder, task, ask, texts, keys, missing, cache, call)
            for position, entry in zip(missing, computed, strict=True):
                entries[position] = entry
        complete = [entry for entry in entries if entry is not None]
        with call.stages.measure("encode"):
            rows = complete[0].vectors if len(complete) == 1 else np.concatenate([e.vectors for e in complete])
            vectors = sliced(rows, dimensions)
        hit = [True] * len(texts)
        for position in missing:
            hit[position] = False
        return Embedded(encoder.card.name, vectors, complete, hit, found is not None)

    async def _compute(
        self,
        encoder: Encoder,
        task: Task,
        ask: Ask,
        texts: Sequence[str],
        keys: Sequence[bytes],
        missing: list[int],
        cache: RowCache | None,
        call: Call,
    ) -> list[Entry]:
        async def lead(positions: list[int]) -> list[Entry]:
            own = [missing[position] for position in positions]
            encoded = await encoder.encode(
                [texts[position] for position in own],
                ask.output,
                prompt=task.prefix,
                truncation=ask.truncation,
                lane=ask.lane,
                deadline=call.deadline,
                stages=call.stages,
                # The places in the request: what the cache had, and what others compute, is not among these texts.
                field=lambda position: f"inputs[{own[position]}]",
            )
            made = [Entry(row.vectors, row.tokens, row.truncated) for row in encoded]
            if cache is not None:
                cache.fill([keys[position] for position in own], made)
            return made

        return await self._flights.get([keys[position] for position in missing], lead)

    def _keys(self, encoder: Encoder, ask: Ask, texts: Sequence[str]) -> list[bytes]:
        space = KeySpace(
            model_digest=encoder.model.model_digest,
            tokenizer_digest=encoder.model.tokenizer_digest,
            task=ask.task or encoder.card.default_task or "",
            output=ask.output.value,
            truncation=ask.truncation.value,
        )
        return [space.key(text.encode()) for text in texts]


def _task(encoder: Encoder, name: str) -> Task:
    tasks = encoder.card.tasks
    name = name or encoder.card.default_task or ""
    if name and name not in tasks:
        known = ", ".join(tasks) or "none"
        raise InvalidArgument("task", f"{encoder.card.name} has no task {name!r}; its tasks: {known}")
    return tasks[name] if name else _NO_TASK


def _dimensions(encoder: Encoder, ask: Ask) -> int:
    card = encoder.card
    if ask.output is Output.TOKENS and card.multi_vector is None:
        raise InvalidArgument("multi_vector", f"{card.name} has no token vectors")
    sizes = card.multi_vector.dimensions if ask.output is Output.TOKENS and card.multi_vector else card.dimensions
    if ask.dimensions and ask.dimensions not in sizes:
        raise InvalidArgument(
            "dimensions", f"{card.name} has {', '.join(map(str, sizes))}; {ask.dimensions} is none of them"
        )
    return ask.dimensions or sizes[-1]
