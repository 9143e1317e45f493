"""From a decoder's tokens to text, piece by piece."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Any

from searchmesh.generation.loops import LoopGuard
from searchmesh.generation.options import Options
from searchmesh.generation.stops import Stops
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    SearchmeshError,
)
from searchmesh.text import Spelling
from searchmesh.triton import Backend
from searchmesh.triton.backend import Tensors


class Finish(Enum):
    """Why a text ended."""

    STOP = "stop"
    """The model ended it, or a stop string."""
    LENGTH = "length"
    """It has `Options.max_new_tokens`."""
    LOOP = "loop"
    """It began to repeat itself."""


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
    guard: LoopGuard | None = None,
) -> AsyncGenerator[str | Written, None]:
    """The text behind a prompt, and then how it ended. Leaving early ends the generation.

    `prompt` has ``input_ids`` [length] and what else the model reads; `on_tokens` is told how many tokens came each
    time; a `guard` ends the text where it sees a loop. Raises what `stream` raises.
    """
    stops, tokens, end = Stops(options.stop), 0, None
    async with aclosing(stream(backend, model, prompt, options, deadline)) as answers:
        async for new, said in answers:
            end = said
            if new:
                tokens += len(new)
                on_tokens(len(new))
            if piece := stops.feed(spelling.feed(new)):
                yield piece
            if stops.found or (guard is not None and guard.is_loop(piece)):
                finish = Finish.STOP if stops.found else Finish.LOOP
                yield Written(finish, stops.found, len(prompt["input_ids"]), tokens)
                return
    if end is None:
        raise Internal(f"the text of model {model} has no end", reason="BACKEND_FAILED")
    if piece := stops.feed(spelling.rest()) + stops.rest():
        yield piece
    finish = Finish.STOP if stops.found else Finish(end["finish"])
    yield Written(finish, stops.found, end["input_tokens"], tokens, drafted=end["drafted"], accepted=end["accepted"])


async def stream(
    backend: Backend, model: str, prompt: Tensors, options: Options, deadline: Deadline
) -> AsyncGenerator[tuple[list[int], dict[str, Any] | None], None]:
    """The tokens behind a prompt as they come, and with the last ones what the decoder says of the end.

    Raises what `Backend.stream` raises, and InvalidArgument, Overloaded, DeadlineExceeded or Cancelled for what the
    decoder (`searchmesh_export/templates/decoder`) has against the request.
    """
    inputs = {**prompt, "options": options.to_tensor(deadline)}
    async with aclosing(backend.stream(model, inputs, ["token_ids", "end"], deadline=deadline)) as answers:
        async for answer in answers:
            end = json.loads(answer["end"].tobytes()) if "end" in answer else None
            if end is not None and "error" in end:
                raise _failure(model, end["error"], end["message"])
            yield answer["token_ids"].tolist(), end


def _failure(model: str, kind: str, message: str) -> SearchmeshError:
    match kind:
        case "invalid":
            field, _, problem = message.partition(": ")
            return InvalidArgument(field, problem)
        case "full":
            return Overloaded(f"the queue of model {model} is full", retry_after_s=1.0, reason="BACKEND_QUEUE_FULL")
        case "expired":
            return DeadlineExceeded(f"model {model} did not finish before the deadline")
        case "cancelled":
            return Cancelled("the text was given up")
    return Internal(f"model {model} failed: {message}", reason="BACKEND_FAILED")
