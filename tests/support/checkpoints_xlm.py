"""Small random checkpoints of the XLM-RoBERTa families in the layouts in which they are published."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import JinaEmbeddingsV3Config, XLMRobertaConfig, XLMRobertaForSequenceClassification
from transformers.models.jina_embeddings_v3.modeling_jina_embeddings_v3 import JinaEmbeddingsV3Model

ADAPTERS = ("retrieval.query", "retrieval.passage", "separation", "classification", "text-matching")
RANK, ALPHA = 3, 2
WIDTH, HEADS, LENGTH = 64, 4, 96
TOKEN_VECTOR = 40
ROPE_BASE = 3000.0
IMAGE, PATCH, TOWER = 56, 14, 64

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
WORDS = (
    "the", "query", "passage", "of", "a", "document", "ranked", "by", "search", "models", "über", "検", "索", ".", ",",
    "!", "?", "find", "Represent", "for",
)  # fmt: skip

Lora = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Published:
    """A checkpoint, and the model that it holds, to compare with."""

    folder: Path
    model: nn.Module
    """By transformers, without adapters."""
    adapters: Mapping[str, Lora] = field(default_factory=dict)
    """A and B of all adapters, by the module's name in the model; Wqkv's are named ``…self_attn.qkv``."""
    heads: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """By their published names."""

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))


MARKERS = ("[QueryMarker]", "[DocumentMarker]")


def write_tokenizer(folder: Path, *more: str) -> int:
    """Unigram pieces with the special tokens of XLM-RoBERTa around every text, and `more`; how many ids there are."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [f"▁{word}" for word in WORDS] + sorted(set("".join(WORDS) + "abcdefghijklmnopqrstuvwxyz:▁<>/"))
    scores = dict.fromkeys(SPECIALS, 0.0) | {piece: float(place - len(pieces)) for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram([*scores.items(), ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (*SPECIALS, "<mask>", *more)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    count: int = tokenizer.get_vocab_size()
    return count


def write_v3(folder: Path, **config: Any) -> Published:
    """jina-embeddings-v3: an encoder with rotary positions and five adapters on every weight."""
    model = _encoder(write_tokenizer(folder))
    adapters = _adapters(model, len(ADAPTERS))
    weights = {f"roberta.{name}": tensor for name, tensor in flash_names(model, adapters).items()}
    own = {"lora_rank": RANK, "lora_alpha": ALPHA, "lora_adaptations": ADAPTERS}
    _write(folder, weights, _flash_config(model) | own | config)
    return Published(folder, model, adapters)


def write_colbert(folder: Path, prefix: str = "roberta.", **config: Any) -> Published:
    """jina-colbert-v2: the encoder without adapters, two more ids for markers, and a projection."""
    model = _encoder(write_tokenizer(folder, *MARKERS))
    heads = {"linear.weight": _random(3, TOKEN_VECTOR, WIDTH)}
    weights = {prefix + name: tensor for name, tensor in flash_names(model).items()}
    _write(folder, weights | heads, _flash_config(model) | config)
    (folder / "artifact.metadata").write_text(json.dumps({"query_maxlen": 32, "doc_maxlen": 8192, "dim": TOKEN_VECTOR}))
    return Published(folder, model, heads=heads)


def write_pairs(folder: Path, **config: Any) -> Published:
    """jina-reranker-v2: an encoder with learned positions and a classifier, under flash-style names."""
    sizes = XLMRobertaConfig(
        vocab_size=write_tokenizer(folder),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=80,
        max_position_embeddings=LENGTH + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        num_labels=1,
    )
    model = _randomised(XLMRobertaForSequenceClassification(sizes))
    weights = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("classifier.")}
    weights |= {f"roberta.{name}": tensor for name, tensor in _xlm_flash_names(model.roberta).items()}
    _write(folder, weights, _sizes(sizes) | {"position_embedding_type": "absolute", "num_labels": 1} | config)
    return Published(folder, model)


def write_clip(folder: Path, **vision: Any) -> Published:
    """jina-clip-v2: a text tower with one adapter, whose sizes config.json leaves to another model, and an EVA-02."""
    text = _encoder(write_tokenizer(folder), pooler=False)
    adapters = _adapters(text, 1)
    weights = {f"text_model.transformer.roberta.{name}": tensor for name, tensor in flash_names(text, adapters).items()}
    tower = _tower()
    weights |= {f"vision_model.{name}": tensor for name, tensor in tower.items()}
    weights["logit_scale"] = torch.tensor(2.6)
    kwargs = {
        "lora_adaptations": ["retrieval.query"],
        "lora_rank": RANK,
        "lora_alpha": ALPHA,
        "num_attention_heads": HEADS,
        "max_position_embeddings": LENGTH + 2,
        "rotary_emb_base": ROPE_BASE,
    }
    config = {
        "model_type": "jina_clip",
        "text_config": {
            "hf_model_name_or_path": "jinaai/jina-embeddings-v3",
            "hf_model_config_kwargs": kwargs,
            "embed_dim": WIDTH,
        },
        "vision_config": {
            "image_size": IMAGE,
            "patch_size": PATCH,
            "width": TOWER,
            "embed_dim": TOWER,
            "layers": 2,
            "head_width": 16,
            "mlp_ratio": 2.6667,
            "pt_hw_seq_len": 16,
            "intp_freq": True,
        }
        | vision,
    }
    _write(folder, weights, config)
    return Published(folder, text, adapters, heads=tower)


def _encoder(vocabulary: int, *, pooler: bool = True) -> JinaEmbeddingsV3Model:
    config = JinaEmbeddingsV3Config(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=80,
        max_position_embeddings=LENGTH + 2,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
    )
    return _randomised(JinaEmbeddingsV3Model(config, add_pooling_layer=pooler))


def _randomised(model: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # A fresh model has zeros for biases and ones for norms, which would hide a mix-up.
            norm = "norm" in name.lower()
            weight.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if norm else 0.25)
    return model.eval()


def _random(seed: int, *shape: int, scale: float = 0.25) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def _adapters(model: nn.Module, count: int) -> dict[str, Lora]:
    """A and B of every weight, as published: a leading axis of adapters."""
    linear = {name: own for name, own in model.named_modules() if isinstance(own, nn.Linear)}
    table = {name: own for name, own in model.named_modules() if isinstance(own, nn.Embedding)}
    shapes = {name: tuple(own.weight.shape) for name, own in linear.items() if not name.endswith(("k_proj", "v_proj"))}
    made: dict[str, Lora] = {}
    for seed, (name, (outputs, inputs)) in enumerate(shapes.items()):
        fused = name.endswith("q_proj")
        first, second = (count, RANK, inputs), (count, outputs * (3 if fused else 1), RANK)
        made[name.replace("q_proj", "qkv")] = (_random(10 + seed, *first), _random(100 + seed, *second))
    for seed, (name, own) in enumerate(table.items()):
        entries, width = own.weight.shape
        made[name] = (_random(60 + seed, count, entries, RANK), _random(160 + seed, count, RANK, width))
    return made


_FLASH = {
    "self_attn.o_proj": "mixer.out_proj",
    "post_attention_layernorm": "norm1",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "post_mlp_layernorm": "norm2",
}


def flash_names(model: nn.Module, adapters: Mapping[str, Lora] | None = None) -> dict[str, torch.Tensor]:
    """The weights of the encoder under published names, adapted ones as parametrizations."""
    state = model.state_dict()
    plain: dict[str, tuple[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        base, kind = name.rsplit(".", 1)
        match base.split(".", 2):
            case ["layers", layer, part] if part in _FLASH:
                plain[f"encoder.layers.{layer}.{_FLASH[part]}.{kind}"] = (base, tensor)
            case ["layers", layer, "self_attn.q_proj"]:
                parts = [state[f"layers.{layer}.self_attn.{each}_proj.{kind}"] for each in "qkv"]
                plain[f"encoder.layers.{layer}.mixer.Wqkv.{kind}"] = (f"layers.{layer}.self_attn.qkv", torch.cat(parts))
            case ["layers", *_]:
                continue
            case ["embeddings", "LayerNorm"]:
                plain[f"emb_ln.{kind}"] = (base, tensor)
            case _:
                plain[name] = (base, tensor)
    published = {}
    for name, (base, tensor) in plain.items():
        if adapters is None or not name.endswith(".weight") or base not in adapters:
            published[name] = tensor
            continue
        prefix = name.removesuffix("weight") + "parametrizations.weight."
        published[f"{prefix}original"] = tensor
        published[f"{prefix}0.lora_A"], published[f"{prefix}0.lora_B"] = adapters[base]
    return published


def _xlm_flash_names(model: nn.Module) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    parts = {
        "attention.output.dense": "mixer.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "output.LayerNorm": "norm2",
    }
    published = {}
    for name, tensor in state.items():
        base, kind = name.rsplit(".", 1)
        match base.split(".", 3):
            case ["encoder", "layer", layer, part] if part in parts:
                published[f"encoder.layers.{layer}.{parts[part]}.{kind}"] = tensor
            case ["encoder", "layer", layer, "attention.self.query"]:
                before = f"encoder.layer.{layer}.attention.self"
                own = [state[f"{before}.{each}.{kind}"] for each in ("query", "key", "value")]
                published[f"encoder.layers.{layer}.mixer.Wqkv.{kind}"] = torch.cat(own)
            case ["encoder", *_]:
                continue
            case ["embeddings", "LayerNorm"]:
                published[f"emb_ln.{kind}"] = tensor
            case ["embeddings", *_] if kind == "weight":
                published[name] = tensor
    return published


def merged(published: Published, adapter: int) -> Any:
    """The model with one adapter in its weights; -1: as it is."""
    model = copy.deepcopy(published.model)
    if adapter < 0:
        return model
    scaling = ALPHA / RANK
    with torch.no_grad():
        for name, (first, second) in published.adapters.items():
            if "embeddings" in name:
                model.get_submodule(name).weight += scaling * first[adapter] @ second[adapter]
                continue
            update = scaling * second[adapter] @ first[adapter]
            if not name.endswith("qkv"):
                model.get_submodule(name).weight += update
                continue
            for each, part in zip("qkv", update.chunk(3), strict=True):
                model.get_submodule(name.removesuffix("qkv") + f"{each}_proj").weight += part
    return model


def _tower() -> dict[str, torch.Tensor]:
    """Weights of a small EVA-02 by their published names."""
    hidden = int(TOWER * 2.6667)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, TOWER),
        "pos_embed": (1, (IMAGE // PATCH) ** 2 + 1, TOWER),
        "patch_embed.proj.weight": (TOWER, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (TOWER,),
        "norm.weight": (TOWER,),
        "norm.bias": (TOWER,),
    }
    for block in ("blocks.0", "blocks.1"):
        for norm, width in (("norm1", TOWER), ("norm2", TOWER), ("attn.inner_attn_ln", TOWER), ("mlp.ffn_ln", hidden)):
            shapes[f"{block}.{norm}.weight"] = shapes[f"{block}.{norm}.bias"] = (width,)
        for part in ("q_proj", "k_proj", "v_proj", "proj"):
            shapes[f"{block}.attn.{part}.weight"] = (TOWER, TOWER)
        for part in ("q_bias", "v_bias", "proj.bias"):
            shapes[f"{block}.attn.{part}"] = (TOWER,)
        for part, (width, inputs) in {"w1": (hidden, TOWER), "w2": (hidden, TOWER), "w3": (TOWER, hidden)}.items():
            shapes[f"{block}.mlp.{part}.weight"], shapes[f"{block}.mlp.{part}.bias"] = (width, inputs), (width,)
    tower = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        norm = "norm" in name or "_ln" in name
        tower[name] = _random(200 + seed, *shape, scale=0.15) + (1.0 if norm and name.endswith("weight") else 0.0)
    return tower


def _sizes(config: Any) -> dict[str, Any]:
    names = (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act",
    )  # fmt: skip
    return {name: getattr(config, name) for name in names}


def _flash_config(model: Any) -> dict[str, Any]:
    rotary = {"position_embedding_type": "rotary", "rotary_emb_base": ROPE_BASE}
    return _sizes(model.config) | rotary | {"model_type": "xlm-roberta", "matryoshka_dimensions": [32, 64]}


def _write(folder: Path, weights: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / "model.safetensors")
