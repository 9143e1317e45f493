"""One encoder model: texts in, vectors out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from searchmesh.batching import Batch, Ladder, Lane, Scheduler
from searchmesh.catalog import Card, ExportedModel
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.stages import Stages
from searchmesh.text import Tokenizer, Truncation
from searchmesh.triton import Backend, Priority

Vectors = NDArray[np.float32]


class Output(Enum):
    """What to ask the model for; the value is the name of the graph's output."""

    SENTENCE = "sentence_embedding"
    """One unit vector per text."""

    TOKENS = "token_embeddings"
    """One unit vector per token."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vectors of one text, float32 [n, dimensions] of unit length; n is 1 for `Output.SENTENCE`."""

    vectors: Vectors
    tokens: int
    truncated: bool


class Encoder:
    """Feeds one model of the backend. Make one per model and process."""

    def __init__(self, model: ExportedModel, backend: Backend, settings: EncodingSettings) -> None:
        self.model = model
        self._backend = backend
        self._slots = settings.slots
        self._tokenizer = Tokenizer(model.tokenizer_path, threads=settings.tokenizer_threads)
        self._ladder = Ladder(
            model.max_tokens,
            max_batch_tokens=settings.max_batch_tokens,
            max_rows=settings.max_batch_rows,
            steps=settings.length_steps,
        )
        self._scheduler: Scheduler[Vectors] = Scheduler(model.card.name, self._ladder, self._infer, settings.limits)

    @property
    def card(self) -> Card:
        """What the catalog says of the model."""
        return self.model.card

    async def encode(
        self,
        texts: Sequence[str],
        output: Output,
        *,
        prompt: str = "",
        truncation: Truncation,
        lane: Lane,
        deadline: Deadline,
        stages: Stages,
        field: Callable[[int], str],
    ) -> list[Encoded]:
        """The vectors of each text, in order. `field` names the text at a position in an InvalidArgument.

        Raises InvalidArgument (too long, with `Truncation.REFUSE`), Overloaded, DeadlineExceeded and what the
        backend raises.
        """
        with stages.measure("tokenize"):
            tokenized = await self._tokenizer.tokenize(
                texts, max_tokens=self.model.max_tokens, truncation=truncation, prompt=prompt, field=field
            )
        vectors, queue_s, infer_s = await self._scheduler.submit(
            [text.ids for text in tokenized], output.value, lane=lane, deadline=deadline
        )
        stages.add("queue", queue_s)
        stages.add("infer", infer_s)
        return [Encoded(found, len(text.ids), text.truncated) for found, text in zip(vectors, tokenized, strict=True)]

    async def _infer(self, batch: Batch[Vectors]) -> list[Vectors]:
        ids = np.zeros((batch.padded_rows, batch.length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for position, row in enumerate(batch.rows):
            ids[position, : len(row.ids)] = row.ids
            mask[position, : len(row.ids)] = 1
        # Padding rows attend to one token: a mask of zeros would make the softmax of some kernels NaN.
        mask[len(batch.rows) :, 0] = 1
        answer = await self._backend.infer(
            self.model.card.name,
            {"input_ids": ids, "attention_mask": mask},
            [batch.output],
            deadline=batch.deadline,
            priority=Priority.INTERACTIVE if batch.lane is Lane.INTERACTIVE else Priority.BULK,
        )
        found = answer[batch.output]
        if batch.output == Output.SENTENCE.value:
            return [found[position : position + 1] for position in range(len(batch.rows))]
        return [self._token_vectors(found[position], len(row.ids)) for position, row in enumerate(batch.rows)]

    def _token_vectors(self, states: Vectors, tokens: int) -> Vectors:
        multi = self.card.multi_vector
        inner = multi is not None and multi.skip_special and tokens > self._tokenizer.special_tokens
        before, after = self._tokenizer.around if inner else (0, 0)
        kept = states[before : tokens - after]
        lengths = np.linalg.norm(kept, axis=1, keepdims=True)
        return np.asarray(kept / np.maximum(lengths, np.float32(1e-12)))

    async def warm(self, deadline: Deadline) -> None:
        """Run each shape that costs time when it is first met, so that no request pays for it.

        GPU providers plan kernels per shape: every shape of the ladder. ONNX Runtime on a CPU has no such cost
        beyond its memory arena, which the longest and the fullest shape size.
        """
        shapes = list(self._ladder.shapes())
        if self.model.flavour == "python":
            shapes = [shapes[0], shapes[-1], max(shapes, key=lambda shape: shape[0] * shape[1])]
        for rows, length in shapes:
            ones = np.ones((rows, length), dtype=np.int64)
            inputs = {"input_ids": ones, "attention_mask": ones}
            # As many at a time as there are slots, so that every instance of the model gets its turn.
            await asyncio.gather(
                *(
                    self._backend.infer(self.card.name, inputs, [Output.SENTENCE.value], deadline=deadline)
                    for _ in range(self._slots)
                )
            )

    def close(self) -> None:
        """End the tokenizer's threads."""
        self._tokenizer.close()
