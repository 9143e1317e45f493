"""The exported encoder of the jina-embeddings-v3 type: against torch, in int8, and with adapters chosen row by row."""

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
_WIDTH, _LAYERS, _HEADS, _VOCABULARY = 768, 6, 12, 1000
_ADAPTERS, _RANK = 5, 4
_LENGTH = 128
_ROWS, _ADAPTED_ROWS = 16, 32


async def graphs_xlm(_: Mesh) -> Figure:
    """Three ratios of one size of encoder with random weights. The mesh has no part in it."""
    comparisons = await asyncio.to_thread(_compare)
    return Figure(
        name="graphs_xlm",
        title=f"Exported encoder of the jina-embeddings-v3 type: {_LAYERS} layers, width {_WIDTH}, {_HEADS} heads",
        measured="tokens/s",
        reference="of the reference",
        result="ratio",
        comparisons=comparisons,
        conditions=[
            f"Random weights, {_LENGTH} tokens a row and no padding; one call at a time with {usable_cores()} threads,"
            f" sides in turns in one process; medians of {_ROUNDS} rounds.",
            "torch: transformers' JinaEmbeddingsV3Model, eager or scaled_dot_product_attention, whichever was faster in"
            " a round. The graphs pool and normalise, too.",
            f"Adapters: {_ADAPTERS} of rank {_RANK} and none, mixed in a batch, against merged weights; the"
            " ratio is that of the times.",
        ],
    )


def _compare() -> list[Comparison]:
    threads = usable_cores()
    fp32, int8 = (Exported(_graph(adapted=False), precision, threads=threads) for precision in ("fp32", "int8"))
    inputs = random_ids(_ROWS, _LENGTH, _VOCABULARY)
    torch_sides = {f"torch {kind}": _torch(kind, inputs, threads) for kind in ("eager", "sdpa")}
    rounds = in_turns({"fp32": lambda: fp32.run(inputs), "int8": lambda: int8.run(inputs), **torch_sides}, _ROUNDS)
    torch_s = [min(each[name] for name in torch_sides) for each in rounds]
    fp32_s, int8_s = ([each[name] for each in rounds] for name in ("fp32", "int8"))
    tokens = _ROWS * _LENGTH
    compared = [
        _faster(f"fp32 ÷ torch, {_ROWS} rows", tokens, fp32_s, torch_s, at_least(1.2)),
        _faster(f"int8 ÷ fp32, {_ROWS} rows", tokens, int8_s, fp32_s, at_least(2.0)),
    ]
    return [*compared, _adapters(fp32, "fp32"), _adapters(int8, "int8")]


def _adapters(merged: Exported, precision: Any) -> Comparison:
    """What choosing an adapter for each row costs."""
    adapted = Exported(_graph(adapted=True), precision, threads=usable_cores())
    inputs = random_ids(_ADAPTED_ROWS, _LENGTH, _VOCABULARY)
    chosen = {
        "adapter": np.arange(_ADAPTED_ROWS, dtype=np.int64)[:, None] % (_ADAPTERS + 1) - 1,
        "spans": np.tile(np.array([[[0, _LENGTH]]], np.int64), (_ADAPTED_ROWS, 1, 1)),
    }
    rounds = in_turns({"adapted": lambda: adapted.run(inputs | chosen), "merged": lambda: merged.run(inputs)}, _ROUNDS)
    adapted_s, merged_s = ([each[name] for each in rounds] for name in ("adapted", "merged"))
    tokens = _ADAPTED_ROWS * _LENGTH
    return Comparison(
        f"adapters ÷ merged, {precision}, {_ADAPTED_ROWS} rows (time)",
        tokens / middle(adapted_s),
        tokens / middle(merged_s),
        middle([ours / theirs for ours, theirs in zip(adapted_s, merged_s, strict=True)]),
        at_most(1.1) if precision == "fp32" else None,
    )


def _faster(what: str, tokens: int, ours: list[float], theirs: list[float], target: Target) -> Comparison:
    ratio = middle([reference / mine for mine, reference in zip(ours, theirs, strict=True)])
    return Comparison(what, tokens / middle(ours), tokens / middle(theirs), ratio, target)


def _graph(*, adapted: bool) -> Any:
    """The module of an embedder with adapters, or of one without, as a graph to be."""
    from torch.nn import functional

    from searchmesh_export.built import Graph
    from searchmesh_export.tensors import Sizes
    from searchmesh_export.xlm_config import XlmConfig
    from searchmesh_export.xlm_encoder import XlmEncoder
    from searchmesh_export.xlm_roberta import AdaptedEmbedder, MeanEmbedder

    config = XlmConfig.model_validate(
        {
            "vocab_size": _VOCABULARY,
            "hidden_size": _WIDTH,
            "num_hidden_layers": _LAYERS,
            "num_attention_heads": _HEADS,
            "intermediate_size": 4 * _WIDTH,
            "max_position_embeddings": 8194,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu",
            "position_embedding_type": "rotary",
        }
    )
    sizes = Sizes(vocabulary=_VOCABULARY, adapters=_ADAPTERS, sentence=_WIDTH)
    inputs, outputs = ("input_ids", "attention_mask"), ("sentence_embedding",)
    if not adapted:
        return Graph(random_weights(MeanEmbedder(XlmEncoder(config, functional.gelu))), inputs, outputs, sizes)
    encoder = XlmEncoder(config, functional.gelu, ranks=_ADAPTERS * _RANK)
    module = random_weights(AdaptedEmbedder(encoder, _ADAPTERS, _RANK))
    return Graph(module, (*inputs, "adapter", "spans"), (*outputs, "span_embeddings"), sizes)


def _torch(attention: str, inputs: Any, threads: int) -> Callable[[], object]:
    """One pass of the model of transformers, without a pooler."""
    import torch
    from transformers import JinaEmbeddingsV3Config
    from transformers.models.jina_embeddings_v3.modeling_jina_embeddings_v3 import JinaEmbeddingsV3Model

    config = JinaEmbeddingsV3Config(
        vocab_size=_VOCABULARY,
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=4 * _WIDTH,
        attn_implementation=attention,
    )
    model = random_weights(JinaEmbeddingsV3Model(config, add_pooling_layer=False))
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}

    def run() -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return model(**tensors).last_hidden_state

    return run
