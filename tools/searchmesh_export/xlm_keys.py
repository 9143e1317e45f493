"""Published names of XLM-RoBERTa encoders in the layout with fused query, key and value (Wqkv).

An adapted weight is published as ``parametrizations.weight.original`` with ``0.lora_A`` and ``0.lora_B``: for a linear
layer A [adapters, rank, inputs] and B [adapters, outputs, rank], whose product B @ A is added; for a table A [adapters,
entries, rank] and B [adapters, rank, width], whose product A @ B is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from searchmesh_export.keys import Made, Source, made

PREFIXES = ("roberta.", "bert.", "model.", "")
"""Before the names of an encoder that is a whole checkpoint."""

CLIP_PREFIX = "text_model.transformer.roberta."

_UNUSED = ("pooler.", "embeddings.position_ids")
"""Published, and no part of any vector or score."""

_TABLES = {"words": "embeddings.word_embeddings", "types": "embeddings.token_type_embeddings"}
_LINEARS = {"qkv": "mixer.Wqkv", "mix": "mixer.out_proj", "feed.widen": "mlp.fc1", "feed.narrow": "mlp.fc2"}
_NORMS = {"mix_norm": "norm1", "feed_norm": "norm2"}
_KINDS = {"weights": "weight", "biases": "bias", "downs": "down", "ups": "up"}
"""Lists of the parts of a tensor (`searchmesh_export.parts`), each with its parts side by side."""


def without_prefix(name: str) -> str | None:
    """A published name without what may stand before it; None for a tensor of no use."""
    prefix = next(prefix for prefix in PREFIXES if name.startswith(prefix))
    name = name.removeprefix(prefix)
    return None if name.startswith(_UNUSED) else name


@dataclass(frozen=True)
class Names:
    """Where the weights of `xlm_encoder.XlmEncoder` come from."""

    adapters: Sequence[int] = ()
    """Places of the adapters in the published tensors, in the order of the module's own."""
    scaling: float = 1.0
    """Of their product."""
    merged: bool = False
    """The first adapter is part of the weights."""

    def __call__(self, name: str) -> Source:
        """The source of one weight."""
        match name.split("."):
            case ["blocks", layer, ("mix_norm" | "feed_norm") as part, kind]:
                return f"encoder.layers.{layer}.{_NORMS[part]}.{kind}"
            case ["blocks", layer, "qkv", kind, number] if kind in _KINDS:
                return _third(self._linear(layer, "qkv", _KINDS[kind]), int(number))
            case ["blocks", layer, "feed", part, kind, _]:
                return self._linear(layer, f"feed.{part}", _KINDS[kind])
            case ["blocks", layer, *part, kind]:
                return self._linear(layer, ".".join(part), kind)
            case [("words" | "types") as part, kind]:
                return self._weight(_TABLES[part], kind, table=True)
            case ["positions", kind]:
                return f"embeddings.position_embeddings.{kind}"
            case ["norm", kind]:
                return f"emb_ln.{kind}"
        raise AssertionError(f"unreachable: {name} is no weight of an encoder")

    def _linear(self, layer: str, part: str, kind: str) -> Source:
        published = f"encoder.layers.{layer}.{_LINEARS[part]}"
        return f"{published}.bias" if kind == "bias" else self._weight(published, kind, table=False)

    def _weight(self, published: str, kind: str, *, table: bool) -> Source:
        if not self.adapters:
            return f"{published}.weight"
        base = f"{published}.parametrizations.weight"
        original, first, second = f"{base}.original", f"{base}.0.lora_A", f"{base}.0.lora_B"
        if self.merged:
            merge = _merged_table if table else _merged_linear
            return Made(partial(merge, self.adapters[0], self.scaling), (original, first, second))
        match kind:
            case "weight":
                return original
            case "down":
                return Made(partial(_table_down if table else _linear_down, self.adapters), (first,))
            case _:
                return Made(partial(_table_up if table else _linear_up, self.adapters, self.scaling), (second,))


def _third(source: Source, number: int) -> Made:
    """The rows of queries (0), keys (1) or values (2)."""
    whole = made(source)
    return Made(lambda *tensors: whole.make(*tensors).chunk(3)[number], whole.names)


def _linear_down(adapters: Sequence[int], first: Tensor) -> Tensor:
    """[adapters, rank, inputs] to [adapters * rank, inputs]."""
    return torch.cat([first[adapter] for adapter in adapters])


def _linear_up(adapters: Sequence[int], scaling: float, second: Tensor) -> Tensor:
    """[adapters, outputs, rank] to [outputs, adapters * rank]."""
    return torch.cat([second[adapter] for adapter in adapters], dim=1) * scaling


def _table_down(adapters: Sequence[int], first: Tensor) -> Tensor:
    """[adapters, entries, rank] to [entries, adapters * rank]."""
    return torch.cat([first[adapter] for adapter in adapters], dim=1)


def _table_up(adapters: Sequence[int], scaling: float, second: Tensor) -> Tensor:
    """[adapters, rank, width] to [width, adapters * rank]."""
    return torch.cat([second[adapter] for adapter in adapters]).T * scaling


def _merged_linear(adapter: int, scaling: float, weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return weight + scaling * second[adapter] @ first[adapter]


def _merged_table(adapter: int, scaling: float, weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return weight + scaling * first[adapter] @ second[adapter]


Of = Callable[[str], Source]


def within(prefix: str, names: Of) -> Of:
    """The sources of a module that has an encoder under `prefix`, and weights beside it that are named as published."""
    return lambda name: names(name.removeprefix(prefix)) if name.startswith(prefix) else name
