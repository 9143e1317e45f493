"""The vision towers of Qwen2-VL (arXiv 2409.12191) and Qwen2.5-VL (arXiv 2502.13923).

Patches of an image of any size, each in a slot; groups of slots become one token. The slots of a tower with windows
come window by window, so that attention within windows is a matter of shape. Modules are named as the published weights
are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from searchmesh_export.activations import Activation
from searchmesh_export.attention import MaskedAttention
from searchmesh_export.qwen_config import VisionConfig
from searchmesh_export.qwen_decoder import Gated, RmsNorm
from searchmesh_export.rotary import Rotary, Rotation, frequencies, turned

_EPS = 1e-6


class VisionTower(nn.Module):  # type: ignore[misc]
    """(patches [rows, slots, values], patch_mask [rows, slots], patch_positions [rows, slots, 2]) to `image_features`.

    Features [rows, slots / merged, output] are in the order of the slots; those of padding mean nothing.
    """

    def __init__(self, config: VisionConfig, activation: Activation) -> None:
        super().__init__()
        self.size = config.width // config.num_heads
        self.theta = config.rope_theta
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(
            Block(config, activation, config.slot_group if config.windowed(number) else None)
            for number in range(config.depth)
        )
        self.merger = Merger(config)

    def forward(self, patches: Tensor, patch_mask: Tensor, patch_positions: Tensor) -> tuple[Tensor]:
        states = self.patch_embed(patches)
        # Rows turn the first half of the frequencies, columns the second.
        angles = (patch_positions[:, :, :, None].float() * frequencies(self.theta, self.size // 2)).flatten(2)
        rotation = turned(angles, states.dtype)
        # What a block adds up is float32 in a half-precision graph, too, as in the decoder.
        states = states.float()
        for block in self.blocks:
            states = block(states, patch_mask, rotation)
        return (self.merger(states).float(),)


class PatchEmbed(nn.Module):  # type: ignore[misc]
    """A patch to a vector: the published convolution, whose kernel is as large as a patch, is a product."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.values, config.width, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        return self.proj(patches.to(self.proj.weight.dtype))


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward layer, each behind a norm and added to what there was."""

    def __init__(self, config: VisionConfig, activation: Activation, window: int | None) -> None:
        """`window` is the number of slots that see one another; None: all of an image."""
        super().__init__()
        self.norm1 = _norm(config)
        self.attn = SelfAttention(config, window)
        self.norm2 = _norm(config)
        kind = Gated if config.gated else FeedForward
        self.mlp = kind(config.width, config.intermediate_size, activation, bias=True)

    def forward(self, states: Tensor, mask: Tensor, rotation: Rotation) -> Tensor:
        states = states + self.attn(self.norm1(states), mask, rotation).float()
        return states + self.mlp(self.norm2(states)).float()


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Attention in both directions among the patches of a window or of the whole image."""

    def __init__(self, config: VisionConfig, window: int | None) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.window = window
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.rotate = Rotary()
        self.attend = MaskedAttention()

    def forward(self, states: Tensor, mask: Tensor, rotation: Rotation) -> Tensor:
        query, key, value = self.qkv(states).unflatten(2, (3, self.heads, -1)).unbind(dim=2)
        parts = self.rotate(query, rotation), self.rotate(key, rotation), value, mask
        if self.window is None:
            return self.proj(self.attend(*parts))
        windows = (part.unflatten(1, (-1, self.window)).flatten(0, 1) for part in parts)
        return self.proj(self.attend(*windows).view_as(states))


class FeedForward(nn.Module):  # type: ignore[misc]
    """Two layers with an activation between them."""

    def __init__(self, width: int, intermediate: int, activation: Activation, *, bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, intermediate, bias=bias)
        self.fc2 = nn.Linear(intermediate, width, bias=bias)

    def forward(self, states: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(states)))


class Merger(nn.Module):  # type: ignore[misc]
    """Patches of a group, side by side, to one token of the decoder."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.merged = config.merged
        width = config.width * config.merged
        self.ln_q = _norm(config)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.output))

    def forward(self, states: Tensor) -> Tensor:
        return self.mlp(self.ln_q(states).unflatten(1, (-1, self.merged)).flatten(2))


class LayerNorm(nn.LayerNorm):  # type: ignore[misc]
    """Computed in float32, given in the precision of the weight."""

    def forward(self, states: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return functional.layer_norm(states.float(), self.normalized_shape, weight, bias, self.eps).to(
            self.weight.dtype
        )


def _norm(config: VisionConfig) -> nn.Module:
    return RmsNorm(config.width, _EPS) if config.gated else LayerNorm(config.width, eps=_EPS)
