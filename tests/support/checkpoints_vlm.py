"""A small random jina-vlm in the layout in which it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import Qwen3Config, SiglipVisionConfig
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model
from transformers.models.siglip.modeling_siglip import SiglipVisionModel

PATCH, SIDE, MARGINS = 14, 11, (4, 4)
CROP = PATCH * SIDE
LAYERS, LIST = 6, (-3, -5)
"""Of the tower; places in the list of its seven outputs, which are the 0-based layers 4 and 2."""
TOWER, POOL_HEADS, PROJECTED, WIDTH = 32, 4, 24, 64
LENGTH = 2048
ADDED = 8
"""Rows of the second table of embeddings; not all of them are tokens."""

END = "<|endoftext|>"
SPECIALS = ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<|image|>", "<im_slice>")
"""Behind the vocabulary of the decoder's head."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if always_start_with_space or not loop.first %} {% endif -%}
{{ message.role | capitalize }}:
{%- if message.content is string %} {{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' %} {{ image_prompt_token }}{% else %} {{ part.text }}{% endif -%}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %} Assistant:{% endif -%}
"""


@dataclass(frozen=True)
class Published:
    """A checkpoint, and what it holds, to compare with."""

    folder: Path
    tokenizer: Tokenizer
    tower: SiglipVisionModel
    connector: Mapping[str, torch.Tensor]
    """By published names behind ``vl_connector.``."""
    decoder: Qwen3Model
    """Its embeddings are both tables, one below the other."""
    head: torch.Tensor
    """[vocabulary, width]"""

    def id(self, token: str) -> int:
        """Of a token that the tokenizer has."""
        found: int = self.tokenizer.token_to_id(token)
        return found


def write_vlm(folder: Path, **preprocessor: Any) -> Published:
    """`preprocessor` adds to or changes preprocessor_config.json."""
    tokenizer = _write_tokenizer(folder)
    vocabulary = tokenizer.token_to_id(SPECIALS[0])
    tower, decoder = _tower(), _decoder(vocabulary + ADDED)
    torch.manual_seed(3)
    published = Published(folder, tokenizer, tower, _connector(), decoder, torch.randn(vocabulary, WIDTH) * 0.3)
    save_file(_tensors(published), folder / "model.safetensors")
    _json(folder / "config.json", _config(published))
    _json(folder / "preprocessor_config.json", _preprocessor() | preprocessor)
    _json(folder / "processor_config.json", {"processor_class": "JinaVLMProcessor", "always_start_with_space": True})
    end = tokenizer.token_to_id(END)
    _json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end})
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": END, "pad_token": END})
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return published


def _write_tokenizer(folder: Path) -> Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([" User: what is in the image? Assistant: a cat and a dog in the picture"], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (END, *SPECIALS)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def _tower() -> SiglipVisionModel:
    config = SiglipVisionConfig(
        hidden_size=TOWER,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        image_size=CROP,
        patch_size=PATCH,
        vision_use_head=False,
    )
    tower: SiglipVisionModel = _random(SiglipVisionModel(config))
    return tower


def _decoder(rows: int) -> Qwen3Model:
    config = Qwen3Config(
        vocab_size=rows,
        hidden_size=WIDTH,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    decoder: Qwen3Model = _random(Qwen3Model(config))
    return decoder


def _random(model: nn.Module) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # A fresh model has zeros for biases and ones for norms, which would hide a mix-up.
            norm = "norm" in name
            weight.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if norm else 0.15)
    return model.eval()


def _connector() -> dict[str, torch.Tensor]:
    features = 2 * TOWER
    shapes = {
        "pad_embed": (2, features),
        "pooling.q_w.weight": (TOWER, features),
        "pooling.kv_w.weight": (2 * TOWER, features),
        "pooling.q_b": (TOWER,),
        "pooling.k_b": (TOWER,),
        "pooling.v_b": (TOWER,),
        "pooling.out.weight": (TOWER, TOWER),
        "pooling.out.bias": (TOWER,),
        "projector.up.weight": (2 * PROJECTED, TOWER),
        "projector.down.weight": (WIDTH, PROJECTED),
    }
    return {name: torch.randn(shape) * 0.12 for name, shape in shapes.items()}


def _tensors(published: Published) -> dict[str, torch.Tensor]:
    tensors = {f"model.vision_model.vl_connector.{name}": tensor for name, tensor in published.connector.items()}
    tensors |= {f"model.vision_model.{name}": tensor for name, tensor in _of_tower(published.tower).items()}
    tensors |= {f"model.language_model.{name}": tensor for name, tensor in _of_decoder(published).items()}
    tensors["lm_head.weight"] = published.head
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def _of_tower(tower: SiglipVisionModel) -> dict[str, torch.Tensor]:
    own = {name.removeprefix("vision_model."): tensor.detach() for name, tensor in tower.state_dict().items()}
    kernel = own["embeddings.patch_embedding.weight"]
    tensors = {
        # The numbers of a patch are row, column, channel.
        "patch_embed.proj.weight": kernel.permute(0, 2, 3, 1).flatten(1),
        "patch_embed.proj.bias": own["embeddings.patch_embedding.bias"],
        "pos_embed": own["embeddings.position_embedding.weight"],
        "post_lnorm.weight": own["post_layernorm.weight"],
        "post_lnorm.bias": own["post_layernorm.bias"],
    }
    for number in range(LAYERS):
        layer, there = f"encoder.layers.{number}", f"layers.{number}"
        names = [f"{layer}.self_attn.{each}_proj" for each in "qkv"]
        tensors[f"{there}.attn.qkv_w.weight"] = torch.cat([own[f"{name}.weight"] for name in names])
        tensors |= {f"{there}.attn.{each}_b": own[f"{layer}.self_attn.{each}_proj.bias"] for each in "qkv"}
        for kind in ("weight", "bias"):
            tensors[f"{there}.attn.out.{kind}"] = own[f"{layer}.self_attn.out_proj.{kind}"]
            tensors[f"{there}.attn_lnorm.{kind}"] = own[f"{layer}.layer_norm1.{kind}"]
            tensors[f"{there}.ffn_lnorm.{kind}"] = own[f"{layer}.layer_norm2.{kind}"]
            tensors[f"{there}.ffn.up.{kind}"] = own[f"{layer}.mlp.fc1.{kind}"]
            tensors[f"{there}.ffn.down.{kind}"] = own[f"{layer}.mlp.fc2.{kind}"]
    return tensors


def _of_decoder(published: Published) -> dict[str, torch.Tensor]:
    own = {name: tensor.detach() for name, tensor in published.decoder.state_dict().items()}
    known = len(published.head)
    tensors = {
        "embedding.embedding": own["embed_tokens.weight"][:known],
        "embedding.new_embedding": own["embed_tokens.weight"][known:],
        "ln_f.weight": own["norm.weight"],
    }
    for number in range(published.decoder.config.num_hidden_layers):
        layer = f"layers.{number}"
        projections = [own[f"{layer}.self_attn.{each}_proj.weight"] for each in "qkv"]
        tensors[f"{layer}.attn.qkv_w.weight"] = torch.cat(projections)
        for each, projection in zip("qkv", projections, strict=True):
            tensors[f"{layer}.attn.{each}_b"] = torch.zeros(len(projection))  # published, and not used
        tensors[f"{layer}.attn.q_lnorm.weight"] = own[f"{layer}.self_attn.q_norm.weight"]
        tensors[f"{layer}.attn.k_lnorm.weight"] = own[f"{layer}.self_attn.k_norm.weight"]
        tensors[f"{layer}.attn.out.weight"] = own[f"{layer}.self_attn.o_proj.weight"]
        tensors[f"{layer}.attn_lnorm.weight"] = own[f"{layer}.input_layernorm.weight"]
        tensors[f"{layer}.ffn_lnorm.weight"] = own[f"{layer}.post_attention_layernorm.weight"]
        # The value first, then its gate.
        halves = [own[f"{layer}.mlp.{each}_proj.weight"] for each in ("up", "gate")]
        tensors[f"{layer}.ffn.up.weight"] = torch.cat(halves)
        tensors[f"{layer}.ffn.down.weight"] = own[f"{layer}.mlp.down_proj.weight"]
    return tensors


def _config(published: Published) -> dict[str, Any]:
    decoder = published.decoder.config
    rms = {"type": "rms", "eps": decoder.rms_norm_eps}
    text_attention = {
        "n_heads": decoder.num_attention_heads,
        "n_kv_heads": decoder.num_key_value_heads,
        "head_dim": decoder.head_dim,
        "q_lnorm": True,
        "k_lnorm": True,
        "qkv_lnorm_on_heads": True,
        "lnorm_config": rms,
    }
    text_block = {
        "attn_config": text_attention,
        "ffn_config": {"activation_type": "silu", "size": decoder.intermediate_size, "gated_activation": True},
        "lnorm_config": rms,
    }
    biases = {f"{each}_bias": True for each in "qkvo"}
    block = {
        "attn_config": {"n_heads": 2, "n_kv_heads": 2, "head_dim": TOWER // 2, **biases},
        "ffn_config": {"activation_type": "gelu_pytorch_tanh", "size": 48, "bias": True, "gated_activation": False},
        "lnorm_config": {"type": "default", "eps": 1e-6},
    }
    connector = {
        "padding_embed_type": "pad_and_partial_pad",
        "pooling_type": "attention_meanq",
        "projector_type": "mlp",
        "attn_pooling_config": {"n_heads": POOL_HEADS, "head_dim": TOWER // POOL_HEADS, **biases},
        "mlp_projector_config": {"activation_type": "silu", "size": PROJECTED},
        "pooling_h": 2,
        "pooling_w": 2,
    }
    return {
        "model_type": "jvlm",
        "architectures": ["JinaVLMForConditionalGeneration"],
        "tie_word_embeddings": False,
        "text_config": {
            "block_config": text_block,
            "n_layers": decoder.num_hidden_layers,
            "hidden_size": WIDTH,
            "vocab_size": len(published.head),
            "additional_vocab_size": ADDED,
            "max_sequence_length": LENGTH,
            "rope": True,
            "rope_theta": 1e6,
        },
        "vision_config": {
            "block_config": block,
            "vl_connector_config": connector,
            "n_layers": LAYERS,
            "hidden_size": TOWER,
            "input_size": [CROP, CROP],
            "patch_size": PATCH,
            "n_channels": 3,
            "linear_patch_embedding": True,
            "use_cls_token": False,
            "post_lnorm": True,
            "vit_layers": list(LIST),
            "output_size": WIDTH,
        },
    }


def _preprocessor() -> dict[str, Any]:
    return {
        "image_processor_type": "JinaVLMImageProcessor",
        "cropping_method": "overlap-and-resize",
        "normalization_method": "minmax",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_min": -1.0,
        "image_max": 1.0,
        "interpolation": "bilinear",
        "resize_in_float32": False,
        "size": {"shortest_edge": 3136, "longest_edge": 160_000},
        "max_crops": 6,
        "base_input_size": [CROP, CROP],
        "patch_size": PATCH,
        "overlap_margins": list(MARGINS),
        "use_column_tokens": True,
        "pooling_w": 2,
        "pooling_h": 2,
        "token_length_w": (SIDE + 1) // 2,
        "token_length_h": (SIDE + 1) // 2,
    }


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2))
