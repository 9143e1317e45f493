"""The model repository: one folder that tritonserver serves from and services read cards and tokenizers from.

::

    REPO/<model>/config.pbtxt     read by tritonserver
    REPO/<model>/1/…              read by tritonserver
    REPO/<model>/card.json        {"card": the resolved card, "export": what the exporter made}
    REPO/<model>/tokenizer.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from searchmesh.catalog.card import Card
from searchmesh.catalog.sections import Section
from searchmesh.catalog.shipped import load_catalog, unknown_model
from searchmesh.runtime.errors import FailedPrecondition

Precision = Literal["fp32", "fp16", "int8"]
Flavour = Literal["python", "onnxruntime", "tensorrt"]

CARD_FILE = "card.json"
TOKENIZER_FILE = "tokenizer.json"


class Parity(Section):
    """Largest differences between the exported graph and its source model that the exporter measured."""

    cosine_error: float
    """1 - cosine of two sentence vectors or token vectors."""
    absolute_error: float
    """Between two values of unit-length sentence vectors."""
    cosine_tolerance: float
    """Export was refused above it."""


class Export(Section):
    """What was exported: the second half of card.json."""

    model_digest: str
    """SHA-256 of the graph with its weights."""
    tokenizer_digest: str
    """SHA-256 of tokenizer.json."""
    precision: Precision
    flavour: Flavour
    outputs: tuple[str, ...]
    """Names of the graph's outputs."""
    hidden_size: int
    parity: Parity
    versions: Mapping[str, str] = {}
    """Of the programs that made it."""


class CardFile(Section):
    """card.json."""

    card: Card
    export: Export


@dataclass(frozen=True)
class ExportedModel:
    """A model that tritonserver can serve."""

    card: Card
    """With the sizes and limits of this checkpoint."""
    path: Path
    export: Export

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def tokenizer_path(self) -> Path:
        return self.path / TOKENIZER_FILE

    @property
    def model_digest(self) -> str:
        return self.export.model_digest

    @property
    def tokenizer_digest(self) -> str:
        return self.export.tokenizer_digest

    @property
    def hidden_size(self) -> int:
        return self.export.hidden_size

    @property
    def max_tokens(self) -> int:
        return self.card.max_tokens

    @property
    def precision(self) -> Precision:
        return self.export.precision

    @property
    def flavour(self) -> Flavour:
        return self.export.flavour

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.export.outputs


class ModelRepository:
    """Reads the exported models of one folder. Every call looks at the disk, so a later export is seen."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """Names of the exported models, in order. Empty where the folder does not exist."""
        return sorted(file.parent.name for file in self.path.glob(f"[!.]*/{CARD_FILE}"))

    def load(self, name: str) -> ExportedModel:
        """The exported model of that name.

        Raises NotFound for a name that neither the repository nor the catalog knows, and FailedPrecondition, saying
        what to run, for a model that was not exported or whose card.json cannot be read.
        """
        exported = self.names()
        if name not in exported:
            catalog = load_catalog()
            if name not in catalog:
                raise unknown_model(name, {*catalog, *exported})
            raise FailedPrecondition(
                f"model {name} is not exported in {self.path}; run: {self._export(name)}", reason="MODEL_NOT_EXPORTED"
            )
        path = self.path / name
        try:
            file = CardFile.model_validate_json((path / CARD_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise FailedPrecondition(
                f"{path / CARD_FILE} cannot be read; run: {self._export(name)}", reason="MODEL_NOT_EXPORTED"
            ) from error
        return ExportedModel(card=file.card, path=path, export=file.export)

    def all(self) -> list[ExportedModel]:
        """Every exported model, in order of names."""
        return [self.load(name) for name in self.names()]

    def _export(self, name: str) -> str:
        return f"searchmesh models export {name} --repository {self.path}"
