"""A row with an adapter gets what a layer with that adapter merged into its weights gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from searchmesh_export.adapters import Embedding, Linear, gates

ADAPTERS, RANK = 3, 2
RANKS = ADAPTERS * RANK
CHOICES = torch.tensor([[-1], [0], [2], [1], [0]])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def randomised(layer: Linear | Embedding) -> Linear | Embedding:
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_()
    return layer


def own_ranks(adapter: int) -> slice:
    return slice(adapter * RANK, (adapter + 1) * RANK) if adapter >= 0 else slice(0)


def test_gates_are_open_for_the_ranks_of_the_rows_adapter_alone() -> None:
    opened = gates(CHOICES, ADAPTERS, RANK, torch.float16)
    assert opened.shape == (5, 1, RANKS)
    assert opened.dtype is torch.float16
    assert opened[:, 0].tolist() == [
        [0] * 6,
        [1, 1, 0, 0, 0, 0],
        [0] * 4 + [1, 1],
        [0, 0, 1, 1, 0, 0],
        [1, 1] + [0] * 4,
    ]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_adapts_each_row_for_itself(bias: bool) -> None:
    layer = randomised(Linear(8, 5, bias=bias, ranks=RANKS))
    states = torch.randn(5, 4, 8)
    with torch.inference_mode():
        together = layer(states, gates(CHOICES, ADAPTERS, RANK, torch.float32))
        for row, adapter in enumerate(CHOICES[:, 0].tolist()):
            ranks = own_ranks(adapter)
            merged = layer.weight + layer.up[:, ranks] @ layer.down[ranks]
            torch.testing.assert_close(together[row], functional.linear(states[row], merged, layer.bias))


def test_a_table_adapts_each_row_for_itself() -> None:
    table = randomised(Embedding(9, 5, ranks=RANKS))
    ids = torch.randint(0, 9, (5, 4))
    with torch.inference_mode():
        together = table(ids, gates(CHOICES, ADAPTERS, RANK, torch.float32))
        for row, adapter in enumerate(CHOICES[:, 0].tolist()):
            ranks = own_ranks(adapter)
            merged = table.weight + table.down[:, ranks] @ table.up[:, ranks].T
            torch.testing.assert_close(together[row], functional.embedding(ids[row], merged))


def test_without_ranks_they_are_plain_layers() -> None:
    assert set(Linear(8, 5).state_dict()) == {"weight", "bias"}
    assert set(Embedding(9, 5).state_dict()) == {"weight"}
    layer, states = Linear(8, 5), torch.randn(2, 3, 8)
    torch.testing.assert_close(layer(states), functional.linear(states, layer.weight, layer.bias))
