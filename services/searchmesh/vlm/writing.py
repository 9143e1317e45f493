"""From the decoder's tokens to text, piece by piece."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import Internal
from searchmesh.text import Spelling
from searchmesh.triton import Backend, Tensor
from searchmesh.triton.backend import Tensors
from searchmesh.vlm.requests import Decoding


class Ending(Enum):
    """Why a text ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a text."""

    ending: Ending
    stop: str
    """The string that ended it, if one did."""
    output_tokens: int


class Stops:
    """Ends a text before the first of some strings. What may be the beginning of one is kept back."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._kept = ""
        self.found = ""
        """The string that was met, and that ended the text."""

    def feed(self, piece: str) -> str:
        """What of the text may be told, now that it goes on with `piece`."""
        text = self._kept + piece
        met = [(text.index(stop), -len(stop), stop) for stop in self._strings if stop in text]
        if met:
            place, _, self.found = min(met)
            self._kept = ""
            return text[:place]
        keep = max((_overlap(text, stop) for stop in self._strings), default=0)
        told, self._kept = text[: len(text) - keep], text[len(text) - keep :]
        return told

    def rest(self) -> str:
        """What was kept back, when nothing follows."""
        return self._kept


def _overlap(text: str, stop: str) -> int:
    """The longest end of the text that `stop` begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


async def write(
    backend: Backend, model: str, prompt: Tensors, decoding: Decoding, spelling: Spelling, deadline: Deadline
) -> AsyncGenerator[str | Written, None]:
    """The text behind a prompt, and then how it ended. Leaving early ends the generation.

    Raises what `Backend.stream` raises.
    """
    stops, tokens, end = Stops(decoding.stop), 0, None
    inputs = {**prompt, "options": _options(decoding, deadline)}
    async with aclosing(
        _as_generator(backend.stream(model, inputs, ["token_ids", "end"], deadline=deadline))
    ) as answers:
        async for answer in answers:
            new = answer["token_ids"].tolist()
            tokens += len(new)
            if piece := stops.feed(spelling.feed(new)):
                yield piece
            if stops.found:
                yield Written(Ending.STOP, stops.found, tokens)
                return
            if "end" in answer:
                end = json.loads(answer["end"].tobytes())
    if end is None:
        raise Internal(f"the text of model {model} has no end", reason="BACKEND_FAILED")
    if rest := stops.feed(spelling.rest()) + stops.rest():
        yield rest
    yield Written(Ending(end["finish"]), "", tokens)


def _options(decoding: Decoding, deadline: Deadline) -> Tensor:
    """As `searchmesh_export/templates/decoder/options.py` reads them."""
    options: dict[str, Any] = {
        "max_new_tokens": decoding.max_tokens,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "repetition_penalty": decoding.repetition_penalty,
        "json_schema": decoding.json_schema,
        # Nothing of an answer about an image is in the prompt to be copied.
        "draft": False,
    }
    if decoding.seed is not None:
        options["seed"] = decoding.seed
    if (remaining := deadline.remaining_s()) is not None:
        options["timeout_ms"] = max(1, int(remaining * 1000))
    return np.frombuffer(json.dumps(options).encode(), np.uint8)


async def _as_generator(answers: AsyncIterator[dict[str, Tensor]]) -> AsyncGenerator[dict[str, Tensor], None]:
    """So that it can be closed."""
    async for answer in answers:
        yield answer
