"""A checkpoint folder in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer

from searchmesh.runtime.errors import InvalidArgument

Pooling = Literal["mean", "cls"]

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class Checkpoint:
    """Reads one folder. Everything that is missing or wrong in it raises InvalidArgument, naming the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise self.wrong("", "is not a folder")
        self.config = self._json("config.json")
        """config.json as it is."""

    def wrong(self, file: str, problem: str) -> InvalidArgument:
        """The error of a file in this folder."""
        return InvalidArgument("--from", f"{self.folder / file} {problem}", reason="BAD_CHECKPOINT")

    def weights(self) -> dict[str, torch.Tensor]:
        """All tensors by their published names, floating ones as float32; one file or several."""
        files = [_SINGLE]
        if (self.folder / _INDEX).is_file():
            files = sorted(set(self._json(_INDEX)["weight_map"].values()))
        tensors: dict[str, torch.Tensor] = {}
        for file in files:
            try:
                tensors |= load_file(self.folder / file)
            except FileNotFoundError:
                raise self.wrong(file, "does not exist") from None
            except SafetensorError as error:
                raise self.wrong(file, f"cannot be read: {error}") from error
        return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

    def tokenizer(self) -> Tokenizer:
        """tokenizer.json without truncation and padding, which are the business of a service."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise self.wrong(path.name, "does not exist")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise self.wrong(path.name, f"cannot be read: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def pooling(self) -> Pooling | None:
        """How 1_Pooling/config.json makes one vector of many; None where the folder does not say."""
        file = "1_Pooling/config.json"
        if not (self.folder / file).is_file():
            return None
        modes = sorted(mode for mode, on in self._json(file).items() if mode.startswith("pooling_mode_") and on is True)
        match modes:
            case ["pooling_mode_mean_tokens"]:
                return "mean"
            case ["pooling_mode_cls_token"]:
                return "cls"
        raise self.wrong(file, f"asks for {', '.join(modes) or 'no pooling'}; mean and cls tokens can be exported")

    def max_tokens(self) -> int | None:
        """The longest sequence by sentence_bert_config.json; None where the folder does not say."""
        file = "sentence_bert_config.json"
        if not (self.folder / file).is_file():
            return None
        limit = self._json(file).get("max_seq_length")
        return int(limit) if limit is not None else None

    def _json(self, file: str) -> Mapping[str, Any]:
        try:
            content = json.loads((self.folder / file).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self.wrong(file, "does not exist") from None
        except ValueError as error:
            raise self.wrong(file, f"is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise self.wrong(file, "holds no JSON object")
        return content
