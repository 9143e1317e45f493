"""searchmesh.v1.Reranker: protobuf to domain and back."""

from __future__ import annotations

from searchmesh.reranker.requests import ask_of
from searchmesh.reranker.responses import response_of
from searchmesh.reranker.scorers import Scorers
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import reranker_pb2


class RerankerServicer:
    """Answers searchmesh.v1.Reranker."""

    def __init__(self, scorers: Scorers, settings: RerankerSettings) -> None:
        self._scorers = scorers
        self._settings = settings

    async def Rerank(self, request: reranker_pb2.RerankRequest, call: Call) -> reranker_pb2.RerankResponse:
        """The documents of one request, most relevant first."""
        model, scorer = self._scorers.get(request.model)
        ask = ask_of(request, model, scorer.abilities, self._settings, call)
        scores = await scorer.score(ask)
        return response_of(
            request, model, scorer.abilities, scores, call, max_message_bytes=self._settings.max_message_bytes
        )
