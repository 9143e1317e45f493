"""The two outputs of an encoder."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

SENTENCE = "sentence_embedding"
TOKENS = "token_embeddings"
OUTPUTS = (SENTENCE, TOKENS)


class Pooled(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to (`sentence_embedding`, `token_embeddings`), both float32.

    Sentence vectors [rows, width] are pooled and have unit length; a row that is all padding has a zero vector. Token
    vectors [rows, length, width] are the encoder's last states as they are, those of padding included.
    """

    def __init__(self, encoder: nn.Module, pooling: Literal["mean", "cls"]) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(input_ids, attention_mask).to(torch.float32)
        kept = attention_mask[:, :, None].to(torch.float32)
        # Unit length makes the divisor of a mean immaterial.
        sentence = (tokens * kept).sum(dim=1) if self.pooling == "mean" else tokens[:, 0] * kept[:, 0]
        return functional.normalize(sentence, dim=-1), tokens
