"""A checkpoint folder in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from tokenizers import Tokenizer

from searchmesh.runtime.errors import InvalidArgument
from searchmesh_export.weights import Weights, wrong

Pooling = Literal["mean", "cls", "last"]

Config = TypeVar("Config", bound=BaseModel)

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class Checkpoint:
    """Reads one folder. Everything that is missing or wrong in it raises InvalidArgument, naming the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise self.wrong("", "is not a folder")
        self.config = self.json("config.json")
        """config.json as it is."""

    def wrong(self, file: str, problem: str) -> InvalidArgument:
        """The error of a file in this folder."""
        return wrong(self.folder / file, problem)

    def config_as(self, shape: type[Config], section: str | None = None) -> Config:
        """config.json, or one object in it, as a model; names the fields that do not fit."""
        values = self.config if section is None else self.config.get(section)
        try:
            return shape.model_validate(values)
        except ValidationError as error:
            fields = (".".join(str(part) for part in problem["loc"]) for problem in error.errors())
            names = ", ".join(field if section is None else f"{section}.{field}".rstrip(".") for field in fields)
            raise self.wrong("config.json", f"has no usable {names}") from error

    def weights(self, file: str | None = None) -> Weights:
        """All tensors by their published names, of one file or of several with an index; or those of `file`."""
        if file is not None or not (self.folder / _INDEX).is_file():
            return Weights.of(self.folder / (file or _SINGLE))
        parts = sorted(set(self.json(_INDEX).get("weight_map", {}).values()))
        if not parts:
            raise self.wrong(_INDEX, "has no weight_map")
        tensors = reduce(Weights.__or__, (Weights.of(self.folder / part) for part in parts))
        return tensors.named(self.folder / _INDEX)

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
        modes = sorted(mode for mode, on in self.json(file).items() if mode.startswith("pooling_mode_") and on is True)
        match modes:
            case ["pooling_mode_mean_tokens"]:
                return "mean"
            case ["pooling_mode_cls_token"]:
                return "cls"
            case ["pooling_mode_lasttoken"]:
                return "last"
        raise self.wrong(
            file, f"asks for {', '.join(modes) or 'no pooling'}; mean, cls and last tokens can be exported"
        )

    def max_tokens(self) -> int | None:
        """The longest sequence by sentence_bert_config.json; None where the folder does not say."""
        file = "sentence_bert_config.json"
        if not (self.folder / file).is_file():
            return None
        limit = self.json(file).get("max_seq_length")
        return int(limit) if limit is not None else None

    def json(self, file: str) -> Mapping[str, Any]:
        """The object in a JSON file of the folder."""
        try:
            content = json.loads((self.folder / file).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self.wrong(file, "does not exist") from None
        except ValueError as error:
            raise self.wrong(file, f"is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise self.wrong(file, "holds no JSON object")
        return content
