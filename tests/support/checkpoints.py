"""Small random checkpoints in the layout in which models are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from support.models import write_tokenizer

WIDTH = 32
MAX_TOKENS = 64


def write_bert(folder: Path, *, pooling: str = "mean_tokens", **config: Any) -> Path:
    """A BERT of two layers, every weight random, with its tokenizer; saved by transformers itself."""
    folder.mkdir(parents=True)
    write_tokenizer(folder / "tokenizer.json")
    sizes = {
        "vocab_size": Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(),
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_TOKENS,
    }
    torch.manual_seed(0)
    model = BertModel(BertConfig(**sizes | config))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # A fresh model has zeros for biases and ones for norms, which would hide a mix-up.
            weight.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3)
    model.save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": WIDTH, f"pooling_mode_{pooling}": True})
    )
    return folder
