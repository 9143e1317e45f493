"""Layers in parts compute what one layer does, before and after they are cut."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from searchmesh_export.adapters import gates
from searchmesh_export.parts import FeedForward, Fork, Join, cut

WIDTH, INNER, ADAPTERS, RANK = 6, 24, 2, 3
GATES = gates(torch.tensor([[1], [-1]]), ADAPTERS, RANK, torch.float32)


def randomised(layer: nn.Module) -> nn.Module:
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(generator=numbers)
    return layer


def states(width: int = WIDTH) -> torch.Tensor:
    return torch.randn(2, 4, width, generator=torch.Generator().manual_seed(1))


def test_a_fork_gives_the_parts_of_one_layer() -> None:
    layer = randomised(Fork(WIDTH, 9, parts=3, ranks=ADAPTERS * RANK))
    weight, bias, up = (torch.cat(list(each)) for each in (layer.weights, layer.biases, layer.ups))
    found = torch.cat(layer(states(), GATES), dim=-1)
    low = functional.linear(states(), layer.down) * GATES
    torch.testing.assert_close(found, functional.linear(states(), weight, bias) + functional.linear(low, up))
    torch.testing.assert_close(torch.cat(layer(states()), dim=-1), functional.linear(states(), weight, bias))


def test_a_join_adds_up_to_one_layer() -> None:
    layer = randomised(Join(INNER, WIDTH, parts=4, ranks=ADAPTERS * RANK))
    weight, down = (torch.cat(list(each), dim=1) for each in (layer.weights, layer.downs))
    inputs = states(INNER)
    found = layer(inputs.chunk(4, dim=-1), GATES)
    low = functional.linear(inputs, down) * GATES
    expected = functional.linear(inputs, weight, layer.bias) + functional.linear(low, layer.up)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_feed_forward_layer_is_the_same_when_it_is_cut() -> None:
    layer = randomised(FeedForward(WIDTH, INNER, functional.gelu, ranks=ADAPTERS * RANK)).eval()
    whole = layer(states(), GATES), layer(states())
    count = sum(weight.numel() for weight in layer.parameters())
    cut(nn.Sequential(layer))
    assert [tuple(part.shape) for part in layer.widen.weights] == [(WIDTH, WIDTH)] * 4
    assert [tuple(part.shape) for part in layer.narrow.downs] == [(ADAPTERS * RANK, WIDTH)] * 4
    assert all(weight.is_contiguous() for weight in layer.parameters())
    assert sum(weight.numel() for weight in layer.parameters()) == count
    for found, expected in zip((layer(states(), GATES), layer(states())), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_widths_that_do_not_divide_stay_whole() -> None:
    layer = randomised(FeedForward(WIDTH, 2 * WIDTH + 1, functional.gelu))
    cut(layer)
    assert len(layer.widen.weights) == 1
