"""A checkpoint in the file layout of jina-reranker-v2-base-multilingual, smaller and with random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

MODEL = "jina-reranker-v2-base-multilingual"

LAYERS, WIDTH, MAX_TOKENS = 6, 384, 1024
_HEADS, _INNER, _PIECES = 12, 1536, 16_000
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")

_Shape = tuple[int, ...]


def write(folder: Path, texts: Sequence[str]) -> Tokenizer:
    """Write it; the tokenizer, which is returned, has the pieces of `texts`."""
    folder.mkdir(parents=True)
    tokenizer = _tokenizer(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": _HEADS,
        "intermediate_size": _INNER,
        "max_position_embeddings": MAX_TOKENS + 2,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "num_labels": 1,
    }
    (folder / "config.json").write_text(json.dumps(config))
    numbers = np.random.default_rng(0)
    tensors = {
        # A norm multiplies by numbers around 1, everything else is spread around 0.
        name: (
            numbers.normal(0, 0.05, shape) + name.endswith(("norm1.weight", "norm2.weight", "emb_ln.weight"))
        ).astype(np.float32)
        for name, shape in _shapes(tokenizer.get_vocab_size())
    }
    save_file(tensors, folder / "model.safetensors")
    return tokenizer


def _shapes(vocabulary: int) -> Iterator[tuple[str, _Shape]]:
    yield "roberta.embeddings.word_embeddings.weight", (vocabulary, WIDTH)
    yield "roberta.embeddings.position_embeddings.weight", (MAX_TOKENS + 2, WIDTH)
    yield "roberta.embeddings.token_type_embeddings.weight", (1, WIDTH)
    yield from _norm("roberta.emb_ln")
    for layer in range(LAYERS):
        block = f"roberta.encoder.layers.{layer}"
        yield from _linear(f"{block}.mixer.Wqkv", WIDTH, 3 * WIDTH)
        yield from _linear(f"{block}.mixer.out_proj", WIDTH, WIDTH)
        yield from _norm(f"{block}.norm1")
        yield from _linear(f"{block}.mlp.fc1", WIDTH, _INNER)
        yield from _linear(f"{block}.mlp.fc2", _INNER, WIDTH)
        yield from _norm(f"{block}.norm2")
    yield from _linear("classifier.dense", WIDTH, WIDTH)
    yield from _linear("classifier.out_proj", WIDTH, 1)


def _norm(name: str) -> Iterator[tuple[str, _Shape]]:
    yield f"{name}.weight", (WIDTH,)
    yield f"{name}.bias", (WIDTH,)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _tokenizer(texts: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES,
        special_tokens=[*_SPECIALS, "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer
