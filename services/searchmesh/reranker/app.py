"""The parts of the reranking service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Encoder, Encoders
from searchmesh.encoding.models import ModelsServicer
from searchmesh.reranker.late_interaction import LateInteraction
from searchmesh.reranker.scorer import Scorer
from searchmesh.reranker.servicer import RerankerServicer
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.errors import Internal
from searchmesh.runtime.server import Service
from searchmesh.triton import TritonPools
from searchmesh.v1 import models_pb2, reranker_pb2

_SCORERS = {"late_interaction": LateInteraction}
"""Ways of scoring by the name that a card's `score.kind` gives them."""


def _serves(model: ExportedModel) -> bool:
    return model.card.score is not None and model.card.score.kind in _SCORERS


def _scorer(encoder: Encoder) -> Scorer:
    score = encoder.card.score
    if score is None:
        raise Internal(f"{encoder.card.name} was opened for reranking and cannot rank")
    return _SCORERS[score.kind](encoder)


@asynccontextmanager
async def build(settings: RerankerSettings) -> AsyncIterator[Service]:
    """The service; on exit its connections are closed."""
    backend = TritonPools(settings.triton_url, settings.triton_routes)
    encoders = Encoders(settings, backend, _serves)
    try:
        yield Service(
            {
                reranker_pb2.DESCRIPTOR.services_by_name["Reranker"]: RerankerServicer(encoders, _scorer, settings),
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(encoders),
            },
            warm=encoders.warm,
        )
    finally:
        encoders.close()
        await backend.close()
