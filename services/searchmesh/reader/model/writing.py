"""What a model makes of a page: generated part by part, joined, watched and measured."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from searchmesh.generation import Finish, LoopGuard, Options, Written
from searchmesh.reader import jobs
from searchmesh.reader.model.absolute import AbsoluteLinks
from searchmesh.reader.model.fences import Unfenced
from searchmesh.reader.model.planning import Plan
from searchmesh.reader.model.prompts import prompt_of
from searchmesh.reader.options import Format, ReadOptions
from searchmesh.reader.page import Ending
from searchmesh.runtime.rpc import Call
from searchmesh.sandbox import Pool

_BETWEEN_PARTS = "\n\n"

_ENDINGS = {Finish.STOP: Ending.STOP, Finish.LENGTH: Ending.OVERRUN, Finish.LOOP: Ending.LOOP}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reading ended."""

    ending: Ending
    fidelity: float
    """Share of the text's word trigrams that the page has."""
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class _PartEnd:
    ending: Ending
    input_tokens: int
    output_tokens: int


async def write(pool: Pool, plan: Plan, options: ReadOptions, call: Call) -> AsyncGenerator[str | Outcome, None]:
    """The text piece by piece, and then how it ended.

    Raises FailedPrecondition for JSON that breaks its schema, after its text.
    """
    guard = LoopGuard(plan.words)
    written: list[str] = []
    end = _PartEnd(Ending.STOP, 0, 0)
    for part, size in zip(plan.parts, plan.tokens, strict=True):
        between = _BETWEEN_PARTS if written else ""
        decoding = _decoding(plan, options, size, end.output_tokens)
        async with aclosing(_part(plan, part, decoding, guard, options, call)) as pieces:
            async for piece in pieces:
                if isinstance(piece, _PartEnd):
                    read, wrote = end.input_tokens + piece.input_tokens, end.output_tokens + piece.output_tokens
                    end = _PartEnd(piece.ending, read, wrote)
                else:
                    text = between + piece.lstrip("\n") if between else piece
                    between = ""
                    written.append(text)
                    yield text
        if end.ending is not Ending.STOP:
            break
    output = "".join(written)
    if options.format is Format.JSON and end.ending is Ending.STOP:
        await pool.call(jobs.validate, options.json_schema, output, deadline=call.deadline, field="json_schema")
    share = await pool.call(jobs.fidelity, plan.words, output, deadline=call.deadline, field="page")
    yield Outcome(_final(end, options), share, end.input_tokens, end.output_tokens)


def _decoding(plan: Plan, options: ReadOptions, size: int, written: int) -> Options:
    defaults = plan.generator.card.generation.sampling if plan.generator.card.generation else None
    # No part needs more tokens in Markdown than it has in HTML; short pages get what the card grants.
    bound = min(max(size, defaults.max_new_tokens if defaults else 0), max(1, plan.room - size))
    if options.max_tokens:
        bound = min(bound, max(1, options.max_tokens - written))
    return Options(
        max_new_tokens=bound,
        repetition_penalty=defaults.repetition_penalty if defaults else 1.0,
        json_schema=(options.json_schema or "{}") if options.format is Format.JSON else "",
    )


async def _part(
    plan: Plan, part: str, decoding: Options, guard: LoopGuard, options: ReadOptions, call: Call
) -> AsyncGenerator[str | _PartEnd, None]:
    """The pieces of text that are not empty, and the end, which is early where the model goes round in circles."""
    prompt = prompt_of(plan.generator.card, part, options)
    unfenced = Unfenced()
    links = AbsoluteLinks(plan.info.url if options.format is Format.MARKDOWN else "")
    with call.stages.measure("generate"):
        async with aclosing(plan.generator.generate(prompt, decoding, guard, deadline=call.deadline)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Written):
                    if text := links.feed(unfenced.finish()) + links.finish():
                        yield text
                    yield _PartEnd(_ENDINGS[piece.finish], piece.input_tokens, piece.output_tokens)
                elif text := links.feed(unfenced.feed(piece)):
                    yield text


def _final(end: _PartEnd, options: ReadOptions) -> Ending:
    """A text that is as long as the caller would have it is no failure."""
    asked_for = options.max_tokens and end.output_tokens >= options.max_tokens
    return Ending.LENGTH if end.ending is Ending.OVERRUN and asked_for else end.ending
