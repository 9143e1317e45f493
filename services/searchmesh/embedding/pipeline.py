"""The steps of embedding a request, in order.

::

    resolve card and task ─► load images ─► cache lookup by content ─► single-flight ─► encode the misses
    ─► cache fill ─► slice, renormalise ─► dtype
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from searchmesh.cache import Entry, RowCache, SingleFlight
from searchmesh.embedding.ask import Ask, Input, Resolved, resolve
from searchmesh.embedding.dtypes import Vectors, sliced
from searchmesh.encoding import Context, Encoders, EncodingSettings, Held, Vision
from searchmesh.images import ImageLoader
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.stages import Stages
from searchmesh.runtime.together import together
from searchmesh.v1 import common_pb2


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
    """Embeds texts and images with any of the service's models."""

    def __init__(
        self, encoders: Encoders, cache: RowCache | None, images: ImageLoader, settings: EncodingSettings
    ) -> None:
        self._encoders = encoders
        self._held = Held(settings.max_held_images)
        self._at_once = asyncio.Semaphore(settings.images_at_once)
        self._cache = cache
        self._images = images
        self._flights: SingleFlight[Entry] = SingleFlight()

    async def embed(self, contents: Sequence[str | common_pb2.Image], ask: Ask, call: Call) -> Embedded:
        """Vectors of each content. Raises InvalidArgument (names the field), NotFound, FailedPrecondition, and what
        `Encoder` and `ImageLoader` raise.
        """
        resolved = resolve(self._encoders.get(ask.model), contents, ask)
        with self._held.of(sum(not isinstance(content, str) for content in contents)):
            return await self._embed(resolved, contents, call)

    async def _embed(self, resolved: Resolved, contents: Sequence[str | common_pb2.Image], call: Call) -> Embedded:
        inputs = await self._load(contents, call)
        with call.stages.measure("cache"):
            keys = resolved.keys(inputs)
            cache = None if resolved.ask.bypass_cache else self._cache
            found = await cache.lookup(keys) if cache else None
        entries: list[Entry | None] = found or [None] * len(inputs)
        missing = [position for position, entry in enumerate(entries) if entry is None]
        if missing:
            computed = await self._compute(resolved, inputs, keys, missing, cache, call)
            for position, entry in zip(missing, computed, strict=True):
                entries[position] = entry
        complete = [entry for entry in entries if entry is not None]
        with call.stages.measure("encode"):
            rows = complete[0].vectors if len(complete) == 1 else np.concatenate([e.vectors for e in complete])
            vectors = sliced(rows, resolved.dimensions)
        hit = [True] * len(inputs)
        for position in missing:
            hit[position] = False
        return Embedded(resolved.encoder.card.name, vectors, complete, hit, found is not None)

    async def _load(self, contents: Sequence[str | common_pb2.Image], call: Call) -> list[Input]:
        """Contents with images as files: those by URL are fetched."""
        if all(isinstance(content, str) for content in contents):
            return list(contents)  # type: ignore[arg-type]
        with call.stages.measure("fetch"):
            return [
                content
                if isinstance(content, str)
                else await self._images.load(content, field=f"inputs[{position}].image", deadline=call.deadline)
                for position, content in enumerate(contents)
            ]

    async def _compute(
        self,
        resolved: Resolved,
        inputs: Sequence[Input],
        keys: Sequence[bytes],
        missing: list[int],
        cache: RowCache | None,
        call: Call,
    ) -> list[Entry]:
        async def lead(positions: list[int]) -> list[Entry]:
            own = [missing[position] for position in positions]
            made = await self._encode(resolved, inputs, own, call)
            if cache is not None:
                cache.fill([keys[position] for position in own], made)
            return made

        return await self._flights.get([keys[position] for position in missing], lead)

    async def _encode(self, resolved: Resolved, inputs: Sequence[Input], own: Sequence[int], call: Call) -> list[Entry]:
        """Entries of the inputs at the positions `own`: what the cache had, and what others compute, is not among them,
        but errors name places in the request.
        """
        texts = {position: content for position in own if isinstance(content := inputs[position], str)}
        images = {position: content for position in own if isinstance(content := inputs[position], bytes)}
        entries: dict[int, Entry] = {}
        if texts:
            entries.update(zip(texts, await self._encode_texts(resolved, texts, call), strict=True))
        if images and (vision := resolved.encoder.vision):
            entries.update(zip(images, await self._encode_images(resolved, vision, images, call), strict=True))
        return [entries[position] for position in own]

    async def _encode_texts(self, resolved: Resolved, texts: dict[int, str], call: Call) -> list[Entry]:
        ask, task, places = resolved.ask, resolved.task, list(texts)
        context = Context(ask.lane, call.deadline, call.stages)

        def field(position: int) -> str:
            return f"inputs[{places[position]}]"

        if ask.chunks is None:
            return await resolved.encoder.encode(
                list(texts.values()), ask.output, context, task=task, truncation=ask.truncation, field=field
            )
        chunking = ask.chunks.chunking
        return await resolved.encoder.encode_chunks(
            list(texts.values()),
            lambda position, text, offsets: chunking(places[position], text, offsets),
            context,
            task=task,
            field=field,
        )

    async def _encode_images(
        self, resolved: Resolved, vision: Vision, images: dict[int, bytes], call: Call
    ) -> list[Entry]:
        # Each image would add the time that all of them take together.
        context = Context(resolved.ask.lane, call.deadline, Stages())
        with call.stages.measure("images"):
            return await together(
                self._encode_image(resolved, vision, data, f"inputs[{place}].image", context)
                for place, data in images.items()
            )

    async def _encode_image(
        self, resolved: Resolved, vision: Vision, data: bytes, field: str, context: Context
    ) -> Entry:
        async with self._at_once:
            image = await self._images.decoded(data, lambda picture: vision.prepare(picture, field), field=field)
            (entry,) = await resolved.encoder.encode_images([image], resolved.ask.output, context, task=resolved.task)
        return entry
