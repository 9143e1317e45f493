"""One decoder: prompts in, texts out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np

from searchmesh.catalog import Card, ExportedModel
from searchmesh.generation.admission import Admission
from searchmesh.generation.loops import LoopGuard
from searchmesh.generation.metrics import PoolMetrics, TextMetrics
from searchmesh.generation.options import Options
from searchmesh.generation.settings import GenerationSettings
from searchmesh.generation.writing import Written, write
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, Overloaded
from searchmesh.text import Tokenizer
from searchmesh.triton import Backend
from searchmesh.triton.backend import Tensors


class Decoder:
    """Feeds one model of the backend. Make one per model and process."""

    def __init__(self, model: ExportedModel, backend: Backend, settings: GenerationSettings) -> None:
        self.model = model
        self.tokenizer = Tokenizer(model.tokenizer_path, threads=settings.tokenizer_threads)
        self._backend = backend
        slots = settings.generation_slots or model.export.slots or 1
        self._admission = Admission(model.name, slots, settings.generation_waiting)
        self._metrics = PoolMetrics(model.name, self._admission)

    @property
    def card(self) -> Card:
        """What the catalog says of it."""
        return self.model.card

    @property
    def max_tokens(self) -> int:
        """Of prompt and text together."""
        return self.model.max_tokens

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return [len(ids) for ids in await self.tokenizer.plain(texts)]

    async def prompt(self, text: str) -> Tensors:
        """What `write` reads, of a text that has its chat template on."""
        (ids,) = await self.tokenizer.plain([text])
        return {"input_ids": np.array(ids, np.int64)}

    async def write(
        self,
        prompt: Tensors,
        options: Options,
        *,
        deadline: Deadline,
        field: str = "prompt",
        guard: LoopGuard | None = None,
    ) -> AsyncGenerator[str | Written, None]:
        """The text behind a prompt, piece by piece, and then how it ended. Leaving early ends the generation.

        `field` names the prompt in an error; a `guard` ends the text where it sees a loop. Raises InvalidArgument (too
        long, or a grammar that cannot be followed), Overloaded, DeadlineExceeded, and what the backend raises.
        """
        tokens = len(prompt["input_ids"])
        if tokens < 1:
            raise InvalidArgument(field, "has no tokens")
        if tokens + options.max_new_tokens > self.max_tokens:
            raise InvalidArgument(
                field,
                f"has {tokens} tokens, with max_new_tokens {options.max_new_tokens} it needs"
                f" {tokens + options.max_new_tokens}; the limit is {self.max_tokens}",
                reason="INPUT_TOO_LONG",
            )
        async with self.slot(deadline) as slot, aclosing(slot.write(prompt, options, guard)) as pieces:
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def slot(self, deadline: Deadline) -> AsyncIterator[Slot]:
        """Room for one text, for who has work to do between the wait for it and the prompt. `write` is the short way.

        Raises Overloaded if too many wait, and DeadlineExceeded.
        """
        deadline.check()
        self._metrics.offered()
        metrics = self._metrics.text()
        try:
            async with self._admission.slot(deadline):
                yield Slot(self.model, self._backend, self.tokenizer, metrics, deadline)
        except Overloaded:
            self._metrics.shed()
            raise

    async def warm(self, deadline: Deadline) -> None:
        """Write a token, so that no request waits for what is made at the first one."""
        prompt = {"input_ids": np.array([1], np.int64)}
        async with aclosing(self.write(prompt, Options(max_new_tokens=1), deadline=deadline)) as pieces:
            async for _ in pieces:
                pass

    def close(self) -> None:
        """End the tokenizer's threads."""
        self.tokenizer.close()


class Slot:
    """Room for one text of a decoder."""

    def __init__(
        self, model: ExportedModel, backend: Backend, tokenizer: Tokenizer, metrics: TextMetrics, deadline: Deadline
    ) -> None:
        self._model = model
        self._backend = backend
        self._tokenizer = tokenizer
        self._metrics = metrics
        self._deadline = deadline

    async def write(
        self, prompt: Tensors, options: Options, guard: LoopGuard | None = None
    ) -> AsyncGenerator[str | Written, None]:
        """As `Decoder.write`, of a prompt that fits."""
        self._metrics.begins(len(prompt["input_ids"]))
        pieces = write(
            self._backend,
            self._model.name,
            prompt,
            options,
            self._tokenizer.spelling(),
            self._deadline,
            on_tokens=self._metrics.tokens,
            guard=guard,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Written):
                    self._metrics.finished(piece)
                yield piece
