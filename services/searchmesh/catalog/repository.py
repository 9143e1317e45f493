"""The model repository: one folder that tritonserver serves from and services read cards and tokenizers from.

::

    REPO/<model>/config.pbtxt     read by tritonserver
    REPO/<model>/1/…              read by tritonserver
    REPO/<model>/card.json        {"card": the resolved card, "export": what the exporter made}
    REPO/<model>/tokenizer.json
    REPO/<model>-vision/          a second graph, of images; no card.json of its own
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

Precision = Literal["fp32", "fp16", "int8", "int4"]
Flavour = Literal["python", "onnxruntime", "tensorrt"]

CARD_FILE = "card.json"
TOKENIZER_FILE = "tokenizer.json"

VISION = "-vision"
"""Added to the name of a model for the graph that turns images into vectors or features."""


class Parity(Section):
    """Largest differences between the exported graphs and the checkpoint in float32 that the exporter measured.

    Export is refused above the tolerances.
    """

    cosine_error: float
    """1 - cosine of two vectors; 0 for a model that gives none."""
    cosine_tolerance: float
    absolute_error: float
    """Between two logits, or two values of vectors scaled to unit length."""
    absolute_tolerance: float | None = None


class Export(Section):
    """What was exported: the second half of card.json."""

    model_digest: str
    """SHA-256 of the graphs with their weights, one file after the other."""
    tokenizer_digest: str
    """SHA-256 of tokenizer.json."""
    precision: Precision
    flavour: Flavour
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    """Names of the text graph's inputs."""
    outputs: tuple[str, ...]
    """Names of the text graph's outputs."""
    hidden_size: int
    max_rows: int | None = None
    """The most rows of one request to the text graph; None: it was not stated."""
    max_images: int | None = None
    """The most rows of one request to the graph of images."""
    slots: int | None = None
    """Texts that a decoder writes at the same time."""
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
    def vision_name(self) -> str:
        """What tritonserver calls the graph of images, if the model has one."""
        return self.name + VISION

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
    def inputs(self) -> tuple[str, ...]:
        return self.export.inputs

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
