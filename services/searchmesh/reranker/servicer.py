"""searchmesh.v1.Reranker: protobuf to domain and back."""

from __future__ import annotations

from collections.abc import Callable

from searchmesh.encoding import Encoder, Encoders
from searchmesh.encoding.requests import check_content, check_contents, lane_of, only_text, truncation_of
from searchmesh.reranker.scorer import Scorer
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation
from searchmesh.v1 import common_pb2, reranker_pb2


class RerankerServicer:
    """Answers searchmesh.v1.Reranker. `scorer_of` picks the way of scoring that a model's card names."""

    def __init__(self, encoders: Encoders, scorer_of: Callable[[Encoder], Scorer], settings: RerankerSettings) -> None:
        self._encoders = encoders
        self._scorer_of = scorer_of
        self._settings = settings

    async def Rerank(self, request: reranker_pb2.RerankRequest, call: Call) -> reranker_pb2.RerankResponse:
        """The documents of one request, most relevant first."""
        query = only_text("query", check_content("query", request.query, self._settings))
        documents = [
            only_text(f"documents[{position}]", content)
            for position, content in enumerate(check_contents("documents", request.documents, self._settings))
        ]
        encoder = self._encoders.get(request.model)
        scored = await self._scorer_of(encoder).score(
            query,
            documents,
            truncation=truncation_of(request.truncation, Truncation.END),
            lane=lane_of(request.lane),
            call=call,
        )
        order = sorted(range(len(scored)), key=lambda index: -scored[index].score)
        results = [
            reranker_pb2.RerankResult(
                index=index,
                relevance_score=scored[index].score,
                document=request.documents[index] if request.return_documents else None,
                input=common_pb2.InputInfo(tokens=scored[index].tokens, truncated=scored[index].truncated),
            )
            for index in order[: request.top_n or None]
        ]
        return reranker_pb2.RerankResponse(
            model=encoder.card.name,
            results=results,
            usage=common_pb2.Usage(tokens=sum(document.tokens for document in scored)),
            timings=call.stages.to_proto(),
        )
