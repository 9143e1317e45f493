"""Low-rank adapters (LoRA, Hu et al. 2021) that every row of a batch chooses for itself.

The adapters of a weight lie side by side along the rank: one product takes the states down to the ranks of all of
them, `gates` set those to zero that are not the row's, and one product takes them up again. No weights are gathered
for a row, so rows of different adapters share a batch for the price of a few more ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def gates(adapter: Tensor, adapters: int, rank: int, dtype: torch.dtype) -> Tensor:
    """1 for the ranks of each row's adapter and 0 for the others: [rows, 1, adapters * rank] of adapter [rows, 1].

    Adapters count from 0; a row with -1 opens no gate and has the base weights alone.
    """
    owners = torch.arange(adapters, device=adapter.device).repeat_interleave(rank)
    return (owners == adapter)[:, None, :].to(dtype)


class Linear(nn.Linear):  # type: ignore[misc]
    """A linear layer with adapters of so many ranks in all, or with none.

    `down` is [ranks, inputs], `up` [outputs, ranks]; their product is added to the weight, the scaling is part of `up`.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, ranks: int = 0) -> None:
        super().__init__(inputs, outputs, bias=bias)
        if ranks:
            self.down = nn.Parameter(torch.empty(ranks, inputs))
            self.up = nn.Parameter(torch.empty(outputs, ranks))

    def forward(self, states: Tensor, gates: Tensor | None = None) -> Tensor:
        """States [rows, length, inputs]; `gates` exactly if there are ranks."""
        output = super().forward(states)
        if gates is None:
            return output
        return output + functional.linear(functional.linear(states, self.down) * gates, self.up)


class Embedding(nn.Embedding):  # type: ignore[misc]
    """A table with adapters of so many ranks in all, or with none: `down` is [entries, ranks], `up` [width, ranks]."""

    def __init__(self, entries: int, width: int, *, ranks: int = 0) -> None:
        super().__init__(entries, width)
        if ranks:
            self.down = nn.Parameter(torch.empty(entries, ranks))
            self.up = nn.Parameter(torch.empty(width, ranks))

    def forward(self, ids: Tensor, gates: Tensor | None = None) -> Tensor:
        """Ids [rows, length]; `gates` exactly if there are ranks."""
        vectors = super().forward(ids)
        if gates is None:
            return vectors
        return vectors + functional.linear(functional.embedding(ids, self.down) * gates, self.up)
