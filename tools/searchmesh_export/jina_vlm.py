"""jina-vlm: the graph of its images. Crops of an image become features that are added to tokens of its decoder."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from searchmesh.catalog.repository import VISION
from searchmesh_export import keys
from searchmesh_export.activations import activation
from searchmesh_export.built import Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.jina_vlm_config import VisionConfig, taken, vision_config
from searchmesh_export.keys import Made, Source
from searchmesh_export.siglip import CropVision, Shape
from searchmesh_export.tensors import Sizes
from searchmesh_export.weights import Weights

PREFIX = "model.vision_model."
"""Before the names of the tower and the connector."""


def vision_graph(checkpoint: Checkpoint) -> Graph:
    """The tower and the connector. Raises InvalidArgument naming keys and fields that do not fit."""
    config = vision_config(checkpoint)
    weights = checkpoint.weights().renamed(_of_vision)
    shape = _shape(checkpoint, config, weights)
    act = activation(checkpoint, config.block_config.ffn_config.activation_type)
    module = keys.load(lambda: CropVision(shape, act), weights.renamed(partial(_used, shape)), _published)
    return Graph(
        module,
        inputs=("crops", "coverage"),
        outputs=("image_features",),
        sizes=Sizes(hidden=shape.output, values=shape.values, patches=shape.side**2, features=shape.windows),
        suffix=VISION,
    )


def _shape(checkpoint: Checkpoint, config: VisionConfig, weights: Weights) -> Shape:
    """What config.json leaves open, such as the width of a feed-forward layer, is that of the tensors."""
    connector = config.vl_connector_config
    shape = partial(_rows, weights)
    pool_width = shape("vl_connector.pooling.q_w.weight")
    layers = taken(config)
    read = Shape(
        side=config.side,
        values=config.n_channels * config.patch_size**2,
        width=config.hidden_size,
        heads=config.block_config.attn_config.n_heads,
        intermediate=shape("layers.0.ffn.up.weight"),
        eps=config.block_config.lnorm_config.epsilon,
        layers=layers,
        depth=config.n_layers,
        window=connector.pooling_h,
        pool_heads=connector.attn_pooling_config.n_heads,
        pool_width=pool_width,
        pooled=shape("vl_connector.pooling.out.weight"),
        projected=shape("vl_connector.projector.up.weight") // 2,
        output=config.output_size,
    )
    for width, heads in ((read.width, read.heads), (pool_width, read.pool_heads)):
        if width % heads:
            raise checkpoint.wrong("config.json", f"has {heads} n_heads for {width} numbers in its vision_config")
    return read


def _rows(weights: Weights, name: str) -> int:
    if name not in weights:
        raise weights.wrong(f"lacks {PREFIX}{name}")
    return weights.shape(name)[0]


def _of_vision(name: str) -> str | None:
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def _used(shape: Shape, name: str) -> str | None:
    """Layers behind the last one that is taken, and a final norm that nothing is taken from, are of no use."""
    match name.split("."):
        case ["layers", number, *_] if number.isdecimal() and shape.used <= int(number) < shape.depth:
            return None
        case ["post_lnorm", _] if not shape.final_norm:
            return None
    return name


_BLOCK = {
    "norm1": "attn_lnorm",
    "norm2": "ffn_lnorm",
    "attn.qkv": "attn.qkv_w",
    "attn.proj": "attn.out",
    "mlp.fc1": "ffn.up",
    "mlp.fc2": "ffn.down",
}


def _published(name: str) -> Source:
    """Where a weight of `CropVision` comes from."""
    match name.split("."):
        case ["positions"]:
            return Made(_table, ("pos_embed",))
        case ["patch_embed", kind]:
            return f"patch_embed.proj.{kind}"
        case ["norm", kind]:
            return f"post_lnorm.{kind}"
        case ["blocks", number, "attn", "qkv", "bias"]:
            return Made(_joined, tuple(f"layers.{number}.attn.{each}_b" for each in "qkv"))
        case ["blocks", number, *part, kind]:
            return f"layers.{number}.{_BLOCK['.'.join(part)]}.{kind}"
        case ["connector", *part]:
            return _connector(part)
    raise AssertionError(f"unreachable: {name} is no weight of the graph")


def _connector(part: list[str]) -> Source:
    match part:
        case ["pool", "query", "weight"]:
            return "vl_connector.pooling.q_w.weight"
        case ["pool", ("key" | "value") as side, "weight"]:
            return Made(partial(_half, second=side == "value"), ("vl_connector.pooling.kv_w.weight",))
        case ["pool", ("query" | "key" | "value") as side, "bias"]:
            return f"vl_connector.pooling.{side[0]}_b"
        case ["pool", "out", kind]:
            return f"vl_connector.pooling.out.{kind}"
        case ["project", ("value" | "gate") as side, kind]:
            return Made(partial(_half, second=side == "gate"), (f"vl_connector.projector.up.{kind}",))
        case ["project", "down", kind]:
            return f"vl_connector.projector.down.{kind}"
    return f"vl_connector.{'.'.join(part)}"


def _table(tensor: Tensor) -> Tensor:
    """[patches, width], whether there is a row axis before it or not."""
    return tensor.flatten(0, -2)


def _joined(*parts: Tensor) -> Tensor:
    return torch.cat(parts)


def _half(tensor: Tensor, *, second: bool) -> Tensor:
    """Of the rows."""
    return tensor[tensor.shape[0] // 2 :] if second else tensor[: tensor.shape[0] // 2]
