"""What jina-vlm computes, by the SigLIP and Qwen3 of transformers; the connector is written out here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from support.checkpoints_vlm import CROP, LIST, PATCH, POOL_HEADS, SIDE, TOWER, Published


def features(published: Published, crops: Tensor, coverage: Tensor) -> Tensor:
    """[crops, windows, width] of crops [crops, patches, values], with the share of each patch that shows the image."""
    with torch.inference_mode():
        return _connected(published, _seen(published, crops), coverage)


def _seen(published: Published, crops: Tensor) -> Tensor:
    """The outputs of two layers side by side."""
    pixels = crops.view(-1, SIDE, SIDE, PATCH, PATCH, 3).permute(0, 5, 1, 3, 2, 4).reshape(-1, 3, CROP, CROP)
    output = published.tower(pixels, output_hidden_states=True)
    # The first is what goes into the first layer; the last one of the list went through the final norm.
    outputs = [*output.hidden_states[1:], output.last_hidden_state]
    return torch.cat([outputs[place] for place in LIST], dim=-1)


def _connected(published: Published, seen: Tensor, coverage: Tensor) -> Tensor:
    own = published.connector
    for number in range(len(seen)):
        for patch in range(SIDE**2):
            share = float(coverage[number, patch])
            if share == 0:
                seen[number, patch] += own["pad_embed"][0]
            elif share < 1:
                seen[number, patch] += own["pad_embed"][1]
    grid = torch.zeros(len(seen), SIDE + 1, SIDE + 1, seen.shape[-1])
    grid[:, :SIDE, :SIDE] = seen.view(len(seen), SIDE, SIDE, -1)
    tokens = []
    for row in range(0, SIDE, 2):
        for column in range(0, SIDE, 2):
            window = grid[:, row : row + 2, column : column + 2].flatten(1, 2)
            tokens.append(_projected(published, _pooled(published, window)))
    return torch.stack(tokens, dim=1)


def _pooled(published: Published, window: Tensor) -> Tensor:
    own = {name.removeprefix("pooling."): tensor for name, tensor in published.connector.items()}
    keys, values = own["kv_w.weight"].chunk(2)
    query = functional.linear(window.mean(dim=1, keepdim=True), own["q_w.weight"], own["q_b"])
    key = functional.linear(window, keys, own["k_b"])
    value = functional.linear(window, values, own["v_b"])
    heads = (each.unflatten(2, (POOL_HEADS, TOWER // POOL_HEADS)).transpose(1, 2) for each in (query, key, value))
    attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(1)
    return functional.linear(attended, own["out.weight"], own["out.bias"])


def _projected(published: Published, pooled: Tensor) -> Tensor:
    value, gate = functional.linear(pooled, published.connector["projector.up.weight"]).chunk(2, dim=-1)
    return functional.linear(functional.silu(gate) * value, published.connector["projector.down.weight"])


def answer(published: Published, ids: Sequence[int], seen: Tensor, most: int) -> list[int]:
    """The tokens of greedy decoding, an end of text included. `seen` [features, width] is added to the tokens of
    patches in order."""
    end, patch = published.id("<|endoftext|>"), published.id("<im_patch>")
    vectors = published.decoder.get_input_embeddings()(torch.tensor([list(ids)])).detach().clone()
    vectors[0, torch.tensor(ids) == patch] += seen
    tokens: list[int] = []
    cache = None
    with torch.inference_mode():
        while len(tokens) < most and (not tokens or tokens[-1] != end):
            output = published.decoder(inputs_embeds=vectors, cache=cache, use_cache=True)
            cache = output.cache
            tokens.append(int((published.head @ output.last_hidden_state[0, -1]).argmax()))
            vectors = published.decoder.get_input_embeddings()(torch.tensor([tokens[-1:]]))
    return tokens
