"""From a decoder's tokens to text, piece by piece."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from searchmesh.generation.options import Options
from searchmesh.generation.stops import Stops
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import Internal
from searchmesh.text import Spelling
from searchmesh.triton import Backend
from searchmesh.triton.backend import Tensors


class Finish(Enum):
    """Why a text ended."""

    STOP = "stop"
    """The model ended it, or a stop string."""
    LENGTH = "length"
    """It has `Options.max_new_tokens`."""


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a text."""

    finish: Finish
    stop: str
    """The string that ended it, if one did."""
    input_tokens: int
    output_tokens: int
    drafted: int = 0
    """Tokens that were drafted from the prompt."""
    accepted: int = 0
    """Those of them that were right."""


async def write(
    backend: Backend,
    model: str,
    prompt: Tensors,
    options: Options,
    spelling: Spelling,
    deadline: Deadline,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> AsyncGenerator[str | Written, None]:
    """The text behind a prompt, and then how it ended. Leaving early ends the generation.

    `prompt` has ``input_ids`` [length] and what else the model reads; `on_tokens` is told how many tokens came each
    time. Raises what `Backend.stream` raises.
    """
    stops, tokens, end = Stops(options.stop), 0, None
    inputs = {**prompt, "options": options.to_tensor(deadline)}
    async with aclosing(backend.stream(model, inputs, ["token_ids", "end"], deadline=deadline)) as answers:
        async for answer in answers:
            new = answer["token_ids"].tolist()
            if new:
                tokens += len(new)
                on_tokens(len(new))
            if piece := stops.feed(spelling.feed(new)):
                yield piece
            if stops.found:
                break
            if "end" in answer:
                end = json.loads(answer["end"].tobytes())
    if end is None and not stops.found:
        raise Internal(f"the text of model {model} has no end", reason="BACKEND_FAILED")
    if not stops.found and (piece := stops.feed(spelling.rest())):
        yield piece
    if not stops.found and (piece := stops.rest()):
        yield piece
    if stops.found or end is None:
        yield Written(Finish.STOP, stops.found, len(prompt["input_ids"]), tokens)
    else:
        yield Written(
            Finish(end["finish"]), "", end["input_tokens"], tokens, drafted=end["drafted"], accepted=end["accepted"]
        )
