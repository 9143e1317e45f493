"""A small random checkpoint in the layout in which ReaderLM-v2 is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

LENGTH = 512
VOCABULARY = 448

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

_TEXTS = (
    "Extract the main content from the given HTML and convert it to Markdown format.",
    "<html><head><title>Title</title></head><body><h1>Heading</h1><p>A paragraph.</p></body></html>",
    '{"title": "Heading", "items": [1, 2, 3], "done": true}',
    "Grüße, 日本語, 🙂 — naïve café",
)


def write_tokenizer(folder: Path) -> Tokenizer:
    """A byte-level BPE with the special tokens of Qwen, and what says so to transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def write_reader(
    folder: Path, *, seed: int = 0, endless: bool = False, brief: bool = False, **config: Any
) -> Qwen2ForCausalLM:
    """Write a Qwen2 that writes tokens; returns it, in float32. An `endless` one never ends a text by itself, a `brief`
    one most texts within a few dozen tokens."""
    tokenizer = write_tokenizer(folder)
    end, turn = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": LENGTH,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5e6,
        "tie_word_embeddings": True,
        "bos_token_id": end,
        "eos_token_id": turn,
        "pad_token_id": end,
    }
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes | config)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # A fresh model has zeros for biases and ones for norms, which would hide a mix-up.
            norm = "norm" in name
            weight.normal_(1.0 if norm else 0.0, 0.2 if norm else 0.15)
        if endless:
            # Tied to the embeddings, the logits of these are 0, and others are above.
            model.get_input_embeddings().weight[[end, turn]] = 0
        if brief:
            model.get_input_embeddings().weight[turn] *= 2.5
    model.generation_config.eos_token_id = [turn, end]
    model.generation_config.pad_token_id = end
    model.save_pretrained(folder)
    return model
