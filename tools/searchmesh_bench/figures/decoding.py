"""Tokens of a decoder through tritonserver, and in onnxruntime-genai alone."""

from __future__ import annotations

import asyncio
import filecmp
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from searchmesh.catalog import ExportedModel, Precision
from searchmesh.generation import Options
from searchmesh.runtime.errors import Internal
from searchmesh_bench import random_decoder
from searchmesh_bench.figures.decoders import Prompts, Texts, check_same, exported, serving, written
from searchmesh_bench.figures.figure import Comparison, Figure, Target, at_least
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh

_PRECISIONS: tuple[Precision, ...] = ("fp32", "int4")
_TARGETS: Mapping[Precision, Target] = {"fp32": at_least(0.9)}
"""In int4 a step of so small a model takes 3 ms, and what serving adds to each token is seen; a real one is larger."""

_STREAMS = (1, 8)
_PROMPT, _NEW = 128, 128
_ROUNDS = 5

_WEIGHTS = "model.onnx.data"


@dataclass(frozen=True)
class _Way:
    """Of running onnxruntime-genai."""

    spins: bool
    """Whether threads without work wait for it awake."""
    in_place: bool
    """Whether there is memory for all keys and values from the start, and not copies that grow."""


async def decoding(_: Mesh) -> Figure:
    """Tokens per second. The mesh that other figures are measured on has no part in it: this one has its own."""
    comparisons = [row for precision in _PRECISIONS for row in await _compare(precision)]
    sizes = random_decoder
    return Figure(
        name="decoding",
        title="Texts of a decoder in tritonserver ÷ onnxruntime-genai alone",
        measured="mesh, tokens/s",
        reference="alone, tokens/s",
        result="ratio",
        comparisons=comparisons,
        conditions=[
            f"A Qwen2 with random weights: {sizes.LAYERS} layers, width {sizes.WIDTH}, {sizes.HEADS} heads,"
            f" {sizes.KEY_HEADS} of keys and values, vocabulary {sizes.VOCABULARY:,}. Prompts of {_PROMPT} tokens,"
            f" {_NEW} new ones each, greedy and without drafts; from the prompts to the end of the last text.",
            f"Mesh: export, tritonserver, streams to this process, tokens to text. Alone: the same weights, all streams"
            f" in one Generator of this process, logits of the last token of a prompt alone; of four ways (threads that"
            f" spin or sleep, keys and values in place or not) the fastest. Both with {usable_cores()} threads; the"
            f" texts are the same.",
            f"Median of {_ROUNDS} rounds in turns.",
        ],
    )


async def _compare(precision: Precision) -> list[Comparison]:
    async with exported(random_decoder.write_random, precision) as (home, checkpoint, model):
        alone = await asyncio.to_thread(_Alone, checkpoint, home / "alone", model)
        async with serving(home, model) as (decoder,):
            return [
                await _row(
                    f"{precision}, {streams} at once",
                    partial(written, decoder),
                    alone,
                    _prompts(streams),
                    _TARGETS.get(precision),
                )
                for streams in _STREAMS
            ]


async def _row(what: str, through_mesh: Any, alone: _Alone, prompts: Prompts, target: Target | None) -> Comparison:
    options = Options(_NEW, draft=False)
    way = await asyncio.to_thread(alone.fastest, prompts)
    check_same(await through_mesh(prompts, options), await asyncio.to_thread(alone.written, way, prompts))
    rounds = await alternating(
        _ROUNDS, partial(through_mesh, prompts, options), partial(asyncio.to_thread, alone.written, way, prompts)
    )
    for ours, theirs in rounds:
        check_same(ours, theirs)
    return Comparison(
        what,
        median(ours.rate for ours, _ in rounds),
        median(theirs.rate for _, theirs in rounds),
        median(ours.rate / theirs.rate for ours, theirs in rounds),
        target,
    )


def _prompts(count: int) -> Prompts:
    return list(np.random.default_rng(0).integers(0, random_decoder.VOCABULARY - 1, (count, _PROMPT)))


class _Alone:
    """The weights of an exported model in onnxruntime-genai, whose builder wrote them."""

    def __init__(self, checkpoint: Path, folder: Path, model: ExportedModel) -> None:
        import onnxruntime_genai

        from searchmesh_export.decoders.building import run_builder

        onnxruntime_genai.disable_telemetry_events()
        run_builder(checkpoint, folder, model.precision, on_gpu=False, options=["prune_lm_head=true"])
        if not filecmp.cmp(folder / _WEIGHTS, model.path / "1" / _WEIGHTS, shallow=False):
            raise Internal("both sides were to have the same weights, and have not")
        self._models = {spins: _model(folder, spins=spins) for spins in (True, False)}

    def fastest(self, prompts: Prompts) -> _Way:
        """The way that these prompts are fastest in, best of two tries each."""
        ways = [_Way(*way) for way in product((True, False), repeat=2)]
        return min(ways, key=lambda way: min(self.written(way, prompts).seconds for _ in range(2)))

    def written(self, way: _Way, prompts: Prompts) -> Texts:
        """Texts behind prompts of the same length, in one batch."""
        import onnxruntime_genai

        start = time.perf_counter()
        parameters = onnxruntime_genai.GeneratorParams(self._models[way.spins])
        parameters.set_search_options(
            batch_size=len(prompts), max_length=_PROMPT + _NEW, past_present_share_buffer=way.in_place
        )
        generator = onnxruntime_genai.Generator(self._models[way.spins], parameters)
        generator.append_tokens(np.array(prompts, np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        rows = [generator.get_sequence(row)[_PROMPT:].tolist() for row in range(len(prompts))]
        seconds = time.perf_counter() - start
        return Texts(seconds, [random_decoder.text(row) for row in rows], sum(map(len, rows)))


def _model(folder: Path, *, spins: bool) -> Any:
    import onnxruntime_genai

    options = {"intra_op_num_threads": usable_cores(), "session.intra_op.allow_spinning": str(int(spins))}
    config = onnxruntime_genai.Config(str(folder))
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    return onnxruntime_genai.Model(config)
