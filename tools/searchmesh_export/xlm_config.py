"""Sizes of XLM-RoBERTa encoders from config.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from searchmesh.catalog import Card
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.keys import listed
from searchmesh_export.weights import Weights

_FILE = "config.json"

SPECIAL_POSITIONS = 2
"""Positions of XLM-RoBERTa are counted from the padding id + 1, so the first two rows of its table have no tokens; the
published configurations of its rotary kin count them, too."""


class XlmConfig(BaseModel):
    """The part that shapes the encoder."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=SPECIAL_POSITIONS)
    type_vocab_size: int = Field(gt=0)
    layer_norm_eps: float = Field(gt=0)
    hidden_act: str
    position_embedding_type: Literal["absolute", "rotary"]
    rotary_emb_base: float = Field(default=10_000.0, gt=0)
    lora_adaptations: tuple[str, ...] | None = None
    """Names of the adapters, in the order of their tensors."""
    lora_rank: int = Field(default=0, ge=0)
    lora_alpha: float = Field(default=1.0, gt=0)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return self.max_position_embeddings - SPECIAL_POSITIONS

    @property
    def scaling(self) -> float:
        """Of the adapters' product."""
        return self.lora_alpha / self.lora_rank


def xlm_config(checkpoint: Checkpoint, card: Card) -> XlmConfig:
    """Of a folder that is such an encoder. Raises InvalidArgument naming the fields that do not fit."""
    positions = "rotary" if card.checkpoint.text.family == "xlm_roberta_rope" else "absolute"
    return _validated(checkpoint, {"position_embedding_type": positions, **checkpoint.config})


def clip_config(checkpoint: Checkpoint, weights: Weights) -> XlmConfig:
    """Of a text tower whose configuration names another model's: what it leaves open is jina-embeddings-v3's.

    Sizes are those of the tensors. Raises InvalidArgument as above.
    """
    section: Mapping[str, Any] = checkpoint.config.get("text_config") or {}
    vocabulary, width = weights.shape(_WORDS) if _WORDS in weights else (0, 0)
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}
    own = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": width // 64,
        "intermediate_size": weights.shape(_UP)[0] if _UP in weights else 0,
        "max_position_embeddings": 8194,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",
        "position_embedding_type": "rotary",
        "rotary_emb_base": 20_000.0,
    }
    given = section.get("hf_model_config_kwargs") or {}
    return _validated(checkpoint, {**own, **section, **given}, "text_config.")


_WORDS = "embeddings.word_embeddings.parametrizations.weight.original"
_UP = "encoder.layers.0.mlp.fc1.parametrizations.weight.original"


def adapter_order(checkpoint: Checkpoint, config: XlmConfig, names: Sequence[str]) -> tuple[int, ...]:
    """Where the adapters of these names are in the published tensors; they are in order where nothing is said."""
    if not config.lora_rank:
        raise checkpoint.wrong(_FILE, "has no usable lora_rank")
    published = config.lora_adaptations or tuple(names)
    if missing := [name for name in names if name not in published]:
        raise checkpoint.wrong(_FILE, f"has no {listed(missing)} in lora_adaptations")
    return tuple(published.index(name) for name in names)


def _validated(checkpoint: Checkpoint, values: Mapping[str, Any], section: str = "") -> XlmConfig:
    try:
        config = XlmConfig.model_validate(values)
    except ValidationError as error:
        fields = ", ".join(f"{section}{problem['loc'][0]}" for problem in error.errors())
        raise checkpoint.wrong(_FILE, f"has no usable {fields}") from error
    if config.hidden_size % (2 * config.num_attention_heads):
        raise checkpoint.wrong(_FILE, "has a hidden_size that is no even multiple of num_attention_heads")
    return config
