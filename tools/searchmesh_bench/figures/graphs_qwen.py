"""Exported decoders of the Qwen2 type: against torch, in int8, with adapters chosen row by row, and on a long row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from searchmesh_bench.figures.figure import Comparison, Figure, Target, at_least, at_most
from searchmesh_bench.figures.graphs import Exported, in_turns, middle, random_ids, random_weights
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh

_ROUNDS = 9
_VOCABULARY = 1000
_ROWS, _LENGTH = 16, 128
_SMALL: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
}

_V4_LAYER: dict[str, Any] = {
    "hidden_size": 2048,
    "intermediate_size": 11_008,
    "num_hidden_layers": 1,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
}
"""A block of jina-embeddings-v4: what adapters cost depends on the width."""

_ADAPTERS, _RANK, _ADAPTED_ROWS, _ADAPTED_LENGTH = 3, 32, 32, 32
_MROPE = (16, 24, 24)


async def graphs_qwen(_: Mesh) -> Figure:
    """Ratios of decoders with random weights. The mesh has no part in it."""
    comparisons = await asyncio.to_thread(_compare)
    return Figure(
        name="graphs_qwen",
        title="Exported decoder of the jina-code-embeddings type: 6 layers, width 768, 12 heads, 2 of keys and values",
        measured="tokens/s",
        reference="of the reference",
        result="ratio",
        comparisons=comparisons,
        conditions=[
            f"Random weights, no padding, {_LENGTH} tokens a row; one call at a time with {usable_cores()} threads in"
            f" this process, sides in turns; medians of {_ROUNDS} rounds.",
            "torch: transformers' Qwen2Model, eager or scaled_dot_product_attention, whichever was faster in a round."
            " The graphs pool and normalise, too.",
            f"Adapters: jina-embeddings-v4 with one block (width 2,048), {_ADAPTERS} of rank {_RANK} and none, mixed in"
            f" a batch of {_ADAPTED_ROWS} x {_ADAPTED_LENGTH} tokens, against merged weights; the ratio is that of the"
            " times.",
        ],
    )


def _compare() -> list[Comparison]:
    threads = usable_cores()
    fp32, int8 = (Exported(_embedder(), precision, threads=threads) for precision in ("fp32", "int8"))
    inputs = random_ids(_ROWS, _LENGTH, _VOCABULARY)
    torch_sides = {f"torch {kind}": _torch(kind, inputs, threads) for kind in ("eager", "sdpa")}
    rounds = in_turns({"fp32": lambda: fp32.run(inputs), "int8": lambda: int8.run(inputs), **torch_sides}, _ROUNDS)
    torch_s = [min(each[name] for name in torch_sides) for each in rounds]
    fp32_s, int8_s = ([each[name] for each in rounds] for name in ("fp32", "int8"))
    tokens = _ROWS * _LENGTH
    return [
        _faster(f"fp32 ÷ torch, {_ROWS} rows", tokens, fp32_s, torch_s, at_least(1.35)),
        _faster(f"int8 ÷ fp32, {_ROWS} rows", tokens, int8_s, fp32_s, at_least(2.0)),
        _adapters(threads),
    ]


def _adapters(threads: int) -> Comparison:
    """What choosing an adapter for each row costs."""
    adapted, merged = (Exported(_v4(tasks), "fp32", threads=threads) for tasks in (_ADAPTERS, 0))
    inputs = random_ids(_ADAPTED_ROWS, _ADAPTED_LENGTH, _VOCABULARY)
    positions = np.tile(np.arange(_ADAPTED_LENGTH), (_ADAPTED_ROWS, 3, 1))
    inputs |= {
        "adapter": np.arange(_ADAPTED_ROWS)[:, None] % (_ADAPTERS + 1) - 1,
        "spans": np.tile(np.array([[[0, _ADAPTED_LENGTH]]]), (_ADAPTED_ROWS, 1, 1)),
        "position_ids": positions,
        "image_features": np.zeros((_ADAPTED_ROWS, 0, _V4_LAYER["hidden_size"]), np.float32),
        "image_index": np.full((_ADAPTED_ROWS, _ADAPTED_LENGTH), -1),
    }
    rounds = in_turns({"adapted": lambda: adapted.run(inputs), "merged": lambda: merged.run(inputs)}, _ROUNDS)
    adapted_s, merged_s = ([each[name] for each in rounds] for name in ("adapted", "merged"))
    tokens = _ADAPTED_ROWS * _ADAPTED_LENGTH
    ratio = middle([ours / theirs for ours, theirs in zip(adapted_s, merged_s, strict=True)])
    what = f"adapters ÷ merged, fp32, {_ADAPTED_ROWS} rows (time)"
    return Comparison(what, tokens / middle(adapted_s), tokens / middle(merged_s), ratio, at_most(1.1))


def _faster(what: str, tokens: int, ours: list[float], theirs: list[float], target: Target) -> Comparison:
    ratio = middle([reference / mine for mine, reference in zip(ours, theirs, strict=True)])
    return Comparison(what, tokens / middle(ours), tokens / middle(theirs), ratio, target)


def _embedder() -> Any:
    """A graph to be of a decoder that embeds by the last token."""
    from searchmesh_export.built import Graph
    from searchmesh_export.qwen import Embedder
    from searchmesh_export.tensors import Sizes

    module = random_weights(Embedder(_decoder(_SMALL), "last"))
    sizes = Sizes(vocabulary=_VOCABULARY, sentence=_SMALL["hidden_size"])
    return Graph(module, ("input_ids", "attention_mask"), ("sentence_embedding",), sizes)


def _v4(tasks: int) -> Any:
    """A graph to be of the text side of jina-embeddings-v4, one block high, with adapters of so many tasks."""
    from searchmesh_export.built import Graph
    from searchmesh_export.qwen_vl import Embedder
    from searchmesh_export.tensors import Sizes

    width, output = _V4_LAYER["hidden_size"], 128
    decoder = _decoder(_V4_LAYER, ranks=tasks * _RANK, mrope_section=_MROPE)
    module = random_weights(Embedder(decoder, width, output, tasks=tasks, rank=_RANK))
    inputs = ("input_ids", "attention_mask", "adapter", "spans", "position_ids", "image_features", "image_index")
    outputs = ("sentence_embedding", "span_embeddings", "token_embeddings")
    sizes = Sizes(vocabulary=_VOCABULARY, adapters=_ADAPTERS, sentence=width, token=output, hidden=width)
    return Graph(module, inputs, outputs, sizes)


def _decoder(shape: dict[str, Any], *, ranks: int = 0, mrope_section: tuple[int, ...] = ()) -> Any:
    from torch.nn import functional

    from searchmesh_export.qwen_config import TextConfig
    from searchmesh_export.qwen_decoder import Decoder

    config = TextConfig(
        vocab_size=_VOCABULARY,
        head_dim=shape["hidden_size"] // shape["num_attention_heads"],
        max_position_embeddings=32_768,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        mrope_section=mrope_section,
        **shape,
    )
    return Decoder(config, functional.silu, bias=True, qk_norm=False, ranks=ranks)


def _torch(attention: str, inputs: Any, threads: int) -> Callable[[], object]:
    """One pass of the model of transformers."""
    import torch
    from transformers import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2Model

    rope = {"rope_type": "default", "rope_theta": 1e6}
    config = Qwen2Config(
        vocab_size=_VOCABULARY, rope_parameters=rope, attn_implementation=attention, use_cache=False, **_SMALL
    )
    model = random_weights(Qwen2Model(config))
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}

    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return model(**tensors).last_hidden_state

    return run
