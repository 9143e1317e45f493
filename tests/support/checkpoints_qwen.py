"""Small random checkpoints of the Qwen families in the layouts in which they are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2Config, Qwen2VLConfig, Qwen3Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

Layout = Literal["old", "new"]
"""Of a Qwen-VL checkpoint: as transformers wrote it before 4.52, or since."""

TASKS = ("retrieval", "text-matching", "code")
RANK, ALPHA = 4, 6
WIDTH, MULTI_VECTOR, PICKED = 64, 24, 40
LENGTH = 160
VOCABULARY = 400

SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<|embed_token|>", "<|rerank_token|>",
)  # fmt: skip

_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LENGTH,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}}
_VISION_2 = {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": WIDTH}
_VISION_2_5 = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": WIDTH,
    "fullatt_block_indexes": [1],
    "window_size": 112,
}


@dataclass(frozen=True)
class Published:
    """A checkpoint, and the model that it holds, to compare with."""

    folder: Path
    model: nn.Module
    """By transformers, without heads."""
    heads: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """By their published names."""
    adapters: Mapping[str, Mapping[str, tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=dict)
    """By task and module: A and B, not scaled."""


def write_tokenizer(folder: Path, *, eos: bool = False) -> Tokenizer:
    """A byte-level BPE with the special tokens of Qwen; with `eos` it appends <|endoftext|>."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["the query and the passage of a document are ranked by the search"], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    if eos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def write_qwen2(folder: Path, *, prefix: str = "model.", eos: bool = False, **config: Any) -> Published:
    """jina-code-embeddings: a Qwen2 whose tokenizer may append an end of text."""
    write_tokenizer(folder, eos=eos)
    model = _random(Qwen2Model, Qwen2Config(**_TEXT | config))
    return _write(folder, Published(folder, model), model.config.to_dict(), lambda name: prefix + name)


def write_qwen3(folder: Path, *, prefix: str = "model.", lm_head: bool = True, **config: Any) -> Published:
    """jina-reranker-v3: a Qwen3, whose heads are wider than its states, with a projector."""
    write_tokenizer(folder)
    model = _random(Qwen3Model, Qwen3Config(**_TEXT | {"head_dim": 24} | config))
    heads = _tensors({"projector.0.weight": (PICKED, WIDTH), "projector.2.weight": (PICKED, PICKED)})
    unused = {"lm_head.weight": model.embed_tokens.weight.detach().clone()} if lm_head else {}
    published = Published(folder, model, heads)
    return _write(folder, published, model.config.to_dict(), lambda name: prefix + name, more=heads | unused)


def write_qwen2_vl(folder: Path, layout: Layout = "old", **config: Any) -> Published:
    """jina-reranker-m0: a Qwen2-VL with a head of two layers."""
    ids = _special_ids(write_tokenizer(folder))
    model = _random(Qwen2VLModel, Qwen2VLConfig(text_config=_TEXT | _MROPE | config, vision_config=_VISION_2, **ids))
    shapes = {
        "score.0.weight": (WIDTH, WIDTH),
        "score.0.bias": (WIDTH,),
        "score.2.weight": (1, WIDTH),
        "score.2.bias": (1,),
    }
    heads = _tensors(shapes)
    _write_preprocessor(folder)
    return _write(folder, Published(folder, model, heads), _vl_config(model, layout), _vl_names(layout), more=heads)


def write_qwen2_5_vl(folder: Path, layout: Layout = "old", *, spelling: str = "{task}", **config: Any) -> Published:
    """jina-embeddings-v4: a Qwen2.5-VL, a projector of token vectors, and a file with the adapters of three tasks.

    `spelling` is what stands between ``lora_A.`` and ``.weight``.
    """
    ids = _special_ids(write_tokenizer(folder))
    model = _random(
        Qwen2_5_VLModel, Qwen2_5_VLConfig(text_config=_TEXT | _MROPE | config, vision_config=_VISION_2_5, **ids)
    )
    heads = _tensors(
        {"multi_vector_projector.weight": (MULTI_VECTOR, WIDTH), "multi_vector_projector.bias": (MULTI_VECTOR,)}
    )
    adapters = _adapters(model)
    names = _vl_names(layout)
    tensors = {}
    for task, modules in adapters.items():
        for module, sides in modules.items():
            for side, tensor in zip("AB", sides, strict=True):
                part = f"lora_{side}.{spelling.format(task=task)}.weight"
                tensors[f"base_model.model.{names(module)}.{part}"] = tensor
    (folder / "adapters").mkdir()
    save_file(tensors, folder / "adapters" / "adapter_model.safetensors")
    peft = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "task_names": TASKS,
        "bias": "none",
        "rank_pattern": {},
    }
    (folder / "adapters" / "adapter_config.json").write_text(json.dumps(peft))
    _write_preprocessor(folder)
    own = {"task_names": TASKS, "multi_vector_projector_dim": MULTI_VECTOR}
    published = Published(folder, model, heads, adapters)
    return _write(folder, published, _vl_config(model, layout) | own, names, more=heads)


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    spans = {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {field: tokenizer.token_to_id(token) for field, token in (names | spans).items()}


def _random(kind: type[nn.Module], config: Any) -> Any:
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # A fresh model has zeros for biases and ones for norms, which would hide a mix-up.
            norm = "norm" in name or "ln_q" in name
            weight.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if norm else 0.15)
    return model


def _tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(shape) * 0.2 for name, shape in shapes.items()}


def _adapters(model: nn.Module) -> dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    torch.manual_seed(2)
    shapes = {
        f"language_model.{name}": module.weight.shape
        for name, module in model.get_submodule("language_model").named_modules()
        if isinstance(module, nn.Linear)
    }
    shapes["multi_vector_projector"] = torch.Size((MULTI_VECTOR, WIDTH))
    return {
        task: {
            name: (torch.randn(RANK, size[1]) * 0.15, torch.randn(size[0], RANK) * 0.15)
            for name, size in shapes.items()
        }
        for task in TASKS
    }


def _vl_names(layout: Layout) -> Callable[[str], str]:
    """From names in the model without heads to published ones."""

    def name(own: str) -> str:
        if own.startswith("multi_vector_projector"):
            return own
        if layout == "new":
            return f"model.{own}"
        return own if own.startswith("visual.") else f"model.{own.removeprefix('language_model.')}"

    return name


def _vl_config(model: Any, layout: Layout) -> dict[str, Any]:
    config: dict[str, Any] = model.config.to_dict()
    if layout == "new":
        return config
    text = {
        name: value for name, value in config.pop("text_config").items() if name not in ("model_type", "layer_types")
    }
    rope = text.pop("rope_parameters")
    vision = config.pop("vision_config")
    vision["in_chans"] = vision.pop("in_channels")
    for absent in ("rope_parameters", "hidden_act"):
        vision.pop(absent)
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    flat = {"rope_theta": rope["rope_theta"], "rope_scaling": scaling, "vision_config": vision}
    return config | text | flat | {"model_type": model.config.model_type}


def _write_preprocessor(folder: Path) -> None:
    values = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "min_pixels": 3136,
        "max_pixels": 28 * 28 * 40,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values))


def _write(
    folder: Path,
    published: Published,
    config: Mapping[str, Any],
    name: Callable[[str], str],
    *,
    more: Mapping[str, torch.Tensor] | None = None,
) -> Published:
    (folder / "config.json").write_text(json.dumps(config))
    weights = {name(own): tensor.contiguous() for own, tensor in published.model.state_dict().items()}
    save_file(weights | dict(more or {}), folder / "model.safetensors")
    return published
