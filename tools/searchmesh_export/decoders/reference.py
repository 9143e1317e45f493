"""What a decoder writes in float32, by a torch module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from searchmesh.catalog import Card
from searchmesh_export import keys, parity
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.qwen import decoder, published
from searchmesh_export.qwen_config import TextConfig
from searchmesh_export.qwen_decoder import Decoder
from searchmesh_export.qwen_keys import of_text, plain

_HEAD = "lm_head.weight"

_TEXTS = (0, 2, 5, 10)
"""Of `parity.TEXTS`: one word to a paragraph, two scripts."""

_LONGEST = 96
_WRITTEN = 12
"""Tokens of each text that are read, and written behind it."""


class LanguageModel(nn.Module):  # type: ignore[misc]
    """Token ids [rows, length], without padding, to logits of the next token [rows, length, vocabulary]."""

    def __init__(self, decoder: Decoder, config: TextConfig, *, tied: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.lm_head = nn.Identity() if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tied = tied

    def forward(self, input_ids: Tensor) -> Tensor:
        vectors = self.decoder.embed(input_ids, torch.ones_like(input_ids))
        states = self.decoder(vectors, self.decoder.along(input_ids))
        return functional.linear(states, self.decoder.embed_tokens.weight) if self.tied else self.lm_head(states)


@dataclass(frozen=True)
class Reference:
    """Prompts, and what greedy decoding writes behind each."""

    prompts: Sequence[Sequence[int]]
    written: Sequence[Sequence[int]]
    logits: NDArray[np.float32]
    """By which each token was chosen: [prompts, written, vocabulary]."""


def language_model(checkpoint: Checkpoint, card: Card, config: TextConfig) -> LanguageModel:
    """The checkpoint as a module. Raises InvalidArgument that names keys which are missing, unknown or misshapen."""
    weights = checkpoint.weights().renamed(lambda name: plain(name) if plain(name) == _HEAD else of_text(name))
    tied = bool(checkpoint.config.get("tie_word_embeddings", card.checkpoint.text.tied_embeddings))
    if tied or _HEAD not in weights:
        # Some writers store what is tied twice.
        weights, tied = weights.renamed(lambda name: None if name == _HEAD else name), True
    return keys.load(lambda: LanguageModel(decoder(checkpoint, card, config), config, tied=tied), weights, published)


def reference(module: LanguageModel, tokenizer: Tokenizer, max_tokens: int) -> Reference:
    """Write behind a few texts. Every token is written from the whole of what is before it, without a cache."""
    longest = min(_LONGEST, max_tokens - _WRITTEN)
    prompts = [tokenizer.encode(parity.TEXTS[number]).ids[:longest] for number in _TEXTS]
    written, logits = zip(*(_continued(module, prompt) for prompt in prompts), strict=True)
    return Reference(prompts, written, np.stack(logits))


def _continued(module: LanguageModel, prompt: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
    ids = list(prompt)
    rows = []
    with torch.inference_mode():
        for _ in range(_WRITTEN):
            rows.append(module(torch.tensor([ids]))[0, -1].numpy())
            ids.append(int(rows[-1].argmax()))
    return ids[len(prompt) :], np.stack(rows)
