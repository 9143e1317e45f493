"""What tritonserver needs beside the graph: config.pbtxt, and the program that runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelParameter

from searchmesh_export.qwen_config import TextConfig
from searchmesh_export.serving import text

PROGRAM = Path(__file__).parent.parent / "templates" / "decoder"

INPUTS = {"input_ids": "TYPE_INT64", "options": "TYPE_UINT8"}
IMAGE_INPUTS = {"image_features": "TYPE_FP32", "image_index": "TYPE_INT64"}
"""Of a decoder that reads images; a prompt without any goes without."""

OUTPUTS = {"token_ids": "TYPE_INT64", "end": "TYPE_UINT8"}

_CACHE_BYTES = {"cpu": 4 << 30, "cuda": 16 << 30}
"""For keys and values. A CPU takes it as texts grow, a GPU at once."""

_SLOTS = {"cpu": 8, "cuda": 32}
_MAX_WAITING = 64
_PREFILL_TOKENS = {"cpu": 128, "cuda": 1024}
_NGRAM = 3
_DRAFT_TOKENS = 8
_DRAFT_STREAMS = {"cpu": 4, "cuda": 1}
"""Texts beside which drafts are still tried: a draft takes a step of its own, without one the texts share a step.
Copied texts on two cores, with drafts ÷ without: 2.5 for one text, 1.7 for two, 1.3 for four, 1.1 for eight (``bench
figures drafting``), where drafts that are wrong would cost more than that. Nothing was measured on a GPU."""

_SPINNING = 1
"""A step has hundreds of short operators, between which threads that sleep wake up too late: on two cores with little
else to do, texts came 1.1 to 1.3 times as fast with threads that wait awake. They do so within a step alone."""


@dataclass(frozen=True)
class Serving:
    """How one decoder is run. Everything in `parameters` can be changed in config.pbtxt without exporting again."""

    name: str
    config: TextConfig
    device: str
    """``cpu`` or ``cuda``."""
    number_bytes: int
    """Of one number in the cache."""
    end_ids: tuple[int, ...]
    """Tokens by which the model ends a text."""
    max_tokens: int
    """That the model can take."""
    illustrated: bool = False
    """Whether it reads images."""

    @property
    def slots(self) -> int:
        """Texts that are written at the same time."""
        return _SLOTS[self.device]

    @property
    def cache_tokens(self) -> int:
        """Of all texts together, prompts and room for what may be written."""
        token = 2 * self.config.num_hidden_layers * self.config.num_key_value_heads * self.config.head_dim
        return min(_CACHE_BYTES[self.device] // (token * self.number_bytes), self.slots * self.max_tokens)

    @property
    def session_tokens(self) -> int:
        """Of one text with its prompt. On a GPU, whose memory is divided beforehand, each slot has its share."""
        share = self.cache_tokens if self.device == "cpu" else self.cache_tokens // self.slots
        return min(self.max_tokens, share)

    @property
    def parameters(self) -> dict[str, str]:
        """Of config.pbtxt."""
        values = {
            "device": self.device,
            "vocabulary": self.config.vocab_size,
            "end_ids": ",".join(map(str, self.end_ids)),
            "slots": self.slots,
            "session_tokens": self.session_tokens,
            "cache_tokens": self.cache_tokens,
            "max_waiting": _MAX_WAITING,
            "prefill_tokens": _PREFILL_TOKENS[self.device],
            "ngram": _NGRAM,
            "draft_tokens": _DRAFT_TOKENS,
            "draft_streams": _DRAFT_STREAMS[self.device],
            "intra_op_threads": len(os.sched_getaffinity(0)),
            "allow_spinning": _SPINNING,
        }
        return {name: str(value) for name, value in values.items()}

    def write(self, folder: Path) -> None:
        """Put config.pbtxt into the model's folder and the program beside the graph."""
        config = ModelConfig(name=self.name, backend="python")
        # Requests are not Triton's to batch: each stays with the model until its text has ended.
        config.model_transaction_policy.decoupled = True
        inputs = {name: [-1] for name in INPUTS}
        if self.illustrated:
            inputs |= {"image_features": [-1, self.config.hidden_size], "image_index": [-1]}
        for name, dims in inputs.items():
            # All are optional because a request without any is one, too: it gives another one up.
            config.input.add(name=name, data_type=(INPUTS | IMAGE_INPUTS)[name], dims=dims, optional=True)
        for name, kind in OUTPUTS.items():
            config.output.add(name=name, data_type=kind, dims=[-1])
        kind = ModelInstanceGroup.KIND_CPU if self.device == "cpu" else ModelInstanceGroup.KIND_GPU
        config.instance_group.add(count=1, kind=kind)
        for name, value in self.parameters.items():
            config.parameters[name].CopyFrom(ModelParameter(string_value=value))
        (folder / "config.pbtxt").write_text(text(config), encoding="utf-8")
        for file in program():
            shutil.copyfile(file, folder / "1" / file.name)


def program() -> Iterable[Path]:
    """The files that run a decoder."""
    return sorted(PROGRAM.glob("*.py"))
