"""A text that is copied from its prompt, with tokens drafted from there and without."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median

from searchmesh.generation import Decoder, Options
from searchmesh_bench import random_decoder
from searchmesh_bench.figures.decoders import Prompts, Texts, check_same, exported, serving, with_parameter, written
from searchmesh_bench.figures.figure import Comparison, Figure, at_least
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh

_STREAMS = (1, 2, 4, 8)
_NEW = 256
_ROUNDS = 5


async def drafting(_: Mesh) -> Figure:
    """Tokens per second. The mesh that other figures are measured on has no part in it: this one has its own."""
    async with exported(random_decoder.write_copying, "fp32") as (home, _checkpoint, model):
        always = with_parameter(model, "draft_streams", max(_STREAMS))
        async with serving(home, model, always) as (usual, drafting):
            measured = [await _rounds(usual, drafting, _prompts(streams)) for streams in _STREAMS]
    sizes = random_decoder
    accepted = sum(on.accepted for rounds in measured for on, _ in rounds)
    drafted = sum(on.drafted for rounds in measured for on, _ in rounds)
    return Figure(
        name="drafting",
        title="Texts that are copied, with drafts from the prompt ÷ without",
        measured="with, tokens/s",
        reference="without, tokens/s",
        result="ratio",
        comparisons=[_row(*each) for each in zip(_STREAMS, measured, strict=True)],
        conditions=[
            f"A Qwen2 of {sizes.LAYERS} layers, width {sizes.WIDTH}, vocabulary {sizes.VOCABULARY:,}, fp32, whose first"
            f" two layers are an induction circuit: it copies spans of {sizes.SPAN} tokens from its prompt"
            f" ({1 + sizes.SPANS * sizes.SPAN} tokens), in another order than there. {_NEW} new tokens, greedy.",
            f"{accepted / drafted:.0%} of {drafted:,} drafted tokens were right; the texts are the same. With drafts"
            f" each text takes steps of its own (draft_streams {max(_STREAMS)}), without all share them.",
            f"Through tritonserver, {usable_cores()} threads, from the prompts to the end of the last text; median of"
            f" {_ROUNDS} rounds in turns.",
        ],
    )


def _prompts(count: int) -> Prompts:
    return [random_decoder.to_copy(seed) for seed in range(count)]


async def _rounds(usual: Decoder, drafting: Decoder, prompts: Prompts) -> Sequence[tuple[Texts, Texts]]:
    on = partial(written, drafting, prompts, Options(_NEW))
    off = partial(written, usual, prompts, Options(_NEW, draft=False))
    check_same(await on(), await off())
    rounds = await alternating(_ROUNDS, on, off)
    for with_drafts, without in rounds:
        check_same(with_drafts, without)
    return rounds


def _row(streams: int, rounds: Sequence[tuple[Texts, Texts]]) -> Comparison:
    return Comparison(
        f"{streams} at once",
        median(on.rate for on, _ in rounds),
        median(off.rate for _, off in rounds),
        median(on.rate / off.rate for on, off in rounds),
        at_least(1.8) if streams == 1 else None,
    )
