"""Published names of the Qwen families, whichever version of transformers or PEFT has written them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.keys import Made, Source
from searchmesh_export.weights import Weights

VISUAL = "visual."
"""Before the names of the vision tower."""

_ADAPTERS, _ADAPTER_CONFIG = "adapters/adapter_model.safetensors", "adapters/adapter_config.json"


def plain(name: str) -> str:
    """Without what says where a tensor is in the model that was saved.

    ``model.language_model.layers.0…`` (transformers from 4.52), ``model.layers.0…`` (before) and ``layers.0…`` (the
    decoder alone) are the same; so are ``model.visual.…`` and ``visual.…``.
    """
    return name.removeprefix("model.").removeprefix("language_model.")


def of_text(name: str) -> str | None:
    """For `Weights.renamed`: the decoder and the heads."""
    name = plain(name)
    return None if name.startswith((VISUAL, "lm_head.")) else name


def of_vision(name: str) -> str | None:
    """For `Weights.renamed`: the vision tower."""
    name = plain(name)
    return name if name.startswith(VISUAL) else None


class AdapterConfig(BaseModel):
    """adapter_config.json of PEFT."""

    r: int = Field(gt=0)
    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, Any] = {}
    alpha_pattern: dict[str, Any] = {}

    @property
    def scaling(self) -> float:
        """Factor on the low-rank product (with rsLoRA: arXiv 2312.03732)."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


@dataclass(frozen=True)
class TaskAdapters:
    """The adapters of all tasks in one PEFT file: ``….lora_A.<task>.weight`` and ``….lora_B.<task>.weight``."""

    tasks: Sequence[str]
    config: AdapterConfig
    weights: Weights

    @classmethod
    def of(cls, checkpoint: Checkpoint, tasks: Sequence[str]) -> TaskAdapters:
        """Those in the folder ``adapters``. Raises InvalidArgument for files that are missing or ask for more than LoRA
        of one rank."""
        try:
            config = AdapterConfig.model_validate(checkpoint.json(_ADAPTER_CONFIG))
        except ValidationError as error:
            fields = ", ".join(str(problem["loc"][0]) for problem in error.errors())
            raise checkpoint.wrong(_ADAPTER_CONFIG, f"has no usable {fields}") from error
        for field in ("use_dora", "rank_pattern", "alpha_pattern"):
            if getattr(config, field):
                raise checkpoint.wrong(_ADAPTER_CONFIG, f"has {field}; adapters of one rank can be exported")
        return cls(tasks, config, checkpoint.weights(_ADAPTERS).renamed(_of_peft))

    @property
    def ranks(self) -> int:
        """Of all tasks together."""
        return self.config.r * len(self.tasks)

    def source(self, name: str) -> Source:
        """The published tensors of a weight of the module, which has ``down`` and ``up`` beside an adapted one."""
        layer, _, part = name.rpartition(".")
        match part:
            case "down":
                return Made(_stacked, self._names(layer, "lora_A"))
            case "up":
                return Made(partial(_scaled, factor=self.config.scaling), self._names(layer, "lora_B"))
        return name

    def _names(self, layer: str, side: str) -> tuple[str, ...]:
        return tuple(f"{layer}.{side}.{task}.weight" for task in self.tasks)


def _of_peft(name: str) -> str:
    """The name as in `of_text`; PEFT may or may not have left the name of its own adapter before that of the task."""
    name = plain(name.removeprefix("base_model.model."))
    return name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.")


def _stacked(*downs: Tensor) -> Tensor:
    return torch.cat(downs, dim=0)


def _scaled(*ups: Tensor, factor: float) -> Tensor:
    return torch.cat(ups, dim=1) * factor
