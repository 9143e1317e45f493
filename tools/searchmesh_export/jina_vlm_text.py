"""The decoder of jina-vlm: a Qwen3 with a second table of embeddings, which its head does not have."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from searchmesh.catalog import Card
from searchmesh_export import keys
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.decoders.reference import LanguageModel
from searchmesh_export.jina_vlm_config import text_config
from searchmesh_export.keys import Made, Source
from searchmesh_export.qwen import decoder
from searchmesh_export.qwen_config import TextConfig
from searchmesh_export.weights import Weights

_PREFIX = "model.language_model."
_HEAD = "lm_head.weight"
_TABLES = ("embedding.embedding", "embedding.new_embedding")
_UNUSED = ("attn.q_b", "attn.k_b", "attn.v_b")
"""Zeros: the layers have no biases."""

_COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


class Headed(nn.Module):  # type: ignore[misc]
    """A language model that knows fewer tokens to write than to read: the others have no logits."""

    def __init__(self, model: LanguageModel, written: int) -> None:
        super().__init__()
        self.model = model
        self.written = written
        """Tokens that the head has."""

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits [rows, length, written] of token ids [rows, length]."""
        return self.model(input_ids)[..., : self.written]


def language_model(checkpoint: Checkpoint, card: Card) -> tuple[Headed, TextConfig]:
    """The decoder as a module whose weights are named as those of Qwen3, behind ``model.``.

    Its head has a row of zeros for each token that is only read. Raises InvalidArgument that names fields and keys.
    """
    weights = checkpoint.weights().renamed(_of_text)
    tables = [_shape(weights, name) for name in _TABLES]
    written, _ = _shape(weights, _HEAD)
    own = text_config(checkpoint)
    attention, width = own.block_config.attn_config, own.hidden_size
    config = TextConfig(
        vocab_size=sum(rows for rows, _ in tables),
        hidden_size=width,
        intermediate_size=_shape(weights, "layers.0.ffn.up.weight")[0] // 2,
        num_hidden_layers=own.n_layers,
        num_attention_heads=attention.n_heads,
        num_key_value_heads=attention.n_kv_heads or attention.n_heads,
        head_dim=attention.head_dim or width // attention.n_heads,
        max_position_embeddings=own.max_sequence_length,
        rms_norm_eps=own.block_config.lnorm_config.epsilon,
        rope_theta=own.rope_theta,
        hidden_act=own.block_config.ffn_config.activation_type,
    )
    more = config.vocab_size - written
    if more < 0:
        raise weights.wrong(f"has {written} rows of {_HEAD} for {config.vocab_size} embeddings")
    model = keys.load(
        lambda: LanguageModel(decoder(checkpoint, card, config), config, tied=False),
        weights,
        partial(_published, config, more),
    )
    return Headed(model, written), config


def write_qwen3(model: Headed, config: TextConfig, checkpoint: Checkpoint, folder: Path) -> None:
    """The decoder as a checkpoint of Qwen3, in float32, for a builder that reads those."""
    folder.mkdir(parents=True)
    tensors = {_as_saved(name): tensor for name, tensor in model.model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = {name: value for name, value in config.model_dump().items() if name != "mrope_section"}
    kind = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(values | kind | {"tie_word_embeddings": False}), encoding="utf-8")
    for name in _COPIED:
        if (checkpoint.folder / name).is_file():
            shutil.copyfile(checkpoint.folder / name, folder / name)


def _as_saved(name: str) -> str:
    return f"model.{name.removeprefix('decoder.')}" if name.startswith("decoder.") else name


def _of_text(name: str) -> str | None:
    if name == _HEAD:
        return name
    if not name.startswith(_PREFIX) or name.endswith(_UNUSED):
        return None
    return name.removeprefix(_PREFIX)


def _shape(weights: Weights, name: str) -> tuple[int, int]:
    if name not in weights:
        raise weights.wrong(f"lacks {name if name == _HEAD else _PREFIX + name}")
    rows, *rest = weights.shape(name)
    return rows, rest[0] if rest else 1


_NORMS = {
    "input_layernorm": "attn_lnorm",
    "post_attention_layernorm": "ffn_lnorm",
    "self_attn.q_norm": "attn.q_lnorm",
    "self_attn.k_norm": "attn.k_lnorm",
    "self_attn.o_proj": "attn.out",
    "mlp.down_proj": "ffn.down",
}


def _published(config: TextConfig, more: int, name: str) -> Source:
    """Where a weight of the module comes from; `more` rows are added to the head."""
    queries, groups = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    parts = {
        "self_attn.q_proj": ("attn.qkv_w", 0, queries),
        "self_attn.k_proj": ("attn.qkv_w", queries, queries + groups),
        "self_attn.v_proj": ("attn.qkv_w", queries + groups, queries + 2 * groups),
        # The value first, then its gate.
        "mlp.up_proj": ("ffn.up", 0, config.intermediate_size),
        "mlp.gate_proj": ("ffn.up", config.intermediate_size, 2 * config.intermediate_size),
    }
    match name.removeprefix("decoder.").split("."):
        case ["lm_head", _]:
            return Made(partial(_longer, more), (_HEAD,))
        case ["embed_tokens", _]:
            return Made(_stacked, _TABLES)
        case ["norm", kind]:
            return f"ln_f.{kind}"
        case ["layers", number, *part, kind]:
            layer = ".".join(part)
            if layer in _NORMS:
                return f"layers.{number}.{_NORMS[layer]}.{kind}"
            there, first, end = parts[layer]
            return Made(partial(_rows, first, end), (f"layers.{number}.{there}.{kind}",))
    raise AssertionError(f"unreachable: {name} is no weight of the decoder")


def _longer(more: int, tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(more, tensor.shape[1])])


def _stacked(*tensors: Tensor) -> Tensor:
    return torch.cat(tensors)


def _rows(first: int, end: int, tensor: Tensor) -> Tensor:
    return tensor[first:end]
