"""A checkpoint with the sizes and the file layout of jina-embeddings-v3 and random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

MODEL = "jina-embeddings-v3"

_LAYERS, _WIDTH, _HEADS, _INNER, _VOCABULARY = 24, 1024, 16, 4096, 250_002
_ADAPTERS = ("retrieval.query", "retrieval.passage", "separation", "classification", "text-matching")
_RANK = 4

_Shape = tuple[int, ...]


def write(folder: Path, texts: tuple[str, ...]) -> int:
    """Write it, with a tokenizer that has the pieces of `texts`; returns the number of weights (bfloat16)."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(
            {
                "vocab_size": _VOCABULARY,
                "hidden_size": _WIDTH,
                "num_hidden_layers": _LAYERS,
                "num_attention_heads": _HEADS,
                "intermediate_size": _INNER,
                "max_position_embeddings": 8194,
                "type_vocab_size": 1,
                "layer_norm_eps": 1e-5,
                "hidden_act": "gelu",
                "position_embedding_type": "rotary",
                "rotary_emb_base": 20_000.0,
                "lora_adaptations": _ADAPTERS,
                "lora_rank": _RANK,
                "lora_alpha": 1,
            }
        )
    )
    _tokenizer(texts).save(str(folder / "tokenizer.json"))
    numbers = torch.Generator().manual_seed(0)
    tensors = {
        # A norm multiplies by numbers around 1, everything else is spread around 0.
        name: (torch.randn(shape, generator=numbers) * 0.02 + name.split(".")[-2].startswith(("norm", "emb_ln"))).to(
            torch.bfloat16
        )
        for name, shape in _shapes()
    }
    save_file({f"roberta.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return sum(tensor.numel() for tensor in tensors.values())


def _shapes() -> Iterator[tuple[str, _Shape]]:
    yield from _adapted_table("embeddings.word_embeddings", _VOCABULARY)
    yield from _adapted_table("embeddings.token_type_embeddings", 1)
    yield from _norm("emb_ln")
    for layer in range(_LAYERS):
        block = f"encoder.layers.{layer}"
        yield from _adapted_linear(f"{block}.mixer.Wqkv", _WIDTH, 3 * _WIDTH)
        yield from _adapted_linear(f"{block}.mixer.out_proj", _WIDTH, _WIDTH)
        yield from _norm(f"{block}.norm1")
        yield from _adapted_linear(f"{block}.mlp.fc1", _WIDTH, _INNER)
        yield from _adapted_linear(f"{block}.mlp.fc2", _INNER, _WIDTH)
        yield from _norm(f"{block}.norm2")
    yield from _adapted_linear("pooler.dense", _WIDTH, _WIDTH)


def _norm(name: str) -> Iterator[tuple[str, _Shape]]:
    yield f"{name}.weight", (_WIDTH,)
    yield f"{name}.bias", (_WIDTH,)


def _adapted_linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{name}.parametrizations.weight.original", (outputs, inputs)
    yield f"{name}.parametrizations.weight.0.lora_A", (len(_ADAPTERS), _RANK, inputs)
    yield f"{name}.parametrizations.weight.0.lora_B", (len(_ADAPTERS), outputs, _RANK)
    yield f"{name}.bias", (outputs,)


def _adapted_table(name: str, entries: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{name}.parametrizations.weight.original", (entries, _WIDTH)
    yield f"{name}.parametrizations.weight.0.lora_A", (len(_ADAPTERS), entries, _RANK)
    yield f"{name}.parametrizations.weight.0.lora_B", (len(_ADAPTERS), _RANK, _WIDTH)


def _tokenizer(texts: tuple[str, ...]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        min_frequency=1,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer
