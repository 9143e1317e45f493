"""One decoder: prompts in, texts out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import numpy as np

from searchmesh.catalog import Card, ExportedModel
from searchmesh.generation.admission import Admission
from searchmesh.generation.metrics import PoolMetrics
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
        self, prompt: Tensors, options: Options, *, deadline: Deadline, field: str = "prompt"
    ) -> AsyncGenerator[str | Written, None]:
        """The text behind a prompt, piece by piece, and then how it ended. Leaving early ends the generation.

        `field` names the prompt in an error. Raises InvalidArgument (too long, or a grammar that cannot be followed),
        Overloaded, DeadlineExceeded, and what the backend raises.
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
        deadline.check()
        self._metrics.offered()
        metrics = self._metrics.text(tokens)
        try:
            async with self._admission.slot(deadline):
                pieces = write(
                    self._backend,
                    self.model.name,
                    prompt,
                    options,
                    self.tokenizer.spelling(),
                    deadline,
                    on_tokens=metrics.tokens,
                )
                async with aclosing(pieces):
                    async for piece in pieces:
                        if isinstance(piece, Written):
                            metrics.finished(piece)
                        yield piece
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
