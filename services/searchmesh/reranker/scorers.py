"""Which way of scoring a model has."""

from __future__ import annotations

from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Encoder, Encoders, ImageReader
from searchmesh.reranker.late_interaction import LateInteraction
from searchmesh.reranker.listwise import Listwise
from searchmesh.reranker.pairwise import Pairwise
from searchmesh.reranker.pairwise_images import PairwiseImages
from searchmesh.reranker.scorer import Scorer
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.errors import FailedPrecondition


def ranks(model: ExportedModel) -> bool:
    """Whether the model can be asked to rank."""
    return model.card.score is not None


class Scorers:
    """The scorers of a service process, by model name; each is made when it is first asked for."""

    def __init__(self, encoders: Encoders, images: ImageReader, settings: RerankerSettings) -> None:
        self._encoders = encoders
        self._images = images
        self._settings = settings
        self._made: dict[str, Scorer] = {}

    def get(self, name: str) -> tuple[str, Scorer]:
        """The full name of a model, the default one for an empty name, and its scorer. Raises as `Encoders.get`."""
        encoder = self._encoders.get(name)
        name = encoder.card.name
        if name not in self._made:
            self._made[name] = self._make(encoder)
        return name, self._made[name]

    def _make(self, encoder: Encoder) -> Scorer:
        score = encoder.card.score
        match score and score.kind:
            case "late_interaction":
                return LateInteraction(encoder, self._images, self._settings)
            case "listwise":
                return Listwise(encoder, self._settings)
            case "pairwise" if encoder.vision is not None:
                return PairwiseImages(encoder, self._images, self._settings)
            case "pairwise":
                return Pairwise(encoder, self._settings)
        raise FailedPrecondition(f"{encoder.card.name} does not rank")
