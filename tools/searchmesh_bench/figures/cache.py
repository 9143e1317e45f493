"""Answers from the cache against a bare gRPC service that returns the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.v1 import common_pb2, embedding_pb2
from searchmesh.v1.embedding_pb2_grpc import EmbeddingStub
from searchmesh_bench.bare import bare_service
from searchmesh_bench.figures.figure import Comparison, Figure, at_least, at_most
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.load import Outcome, closed_loop, loopback
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pydocs import corpus

if TYPE_CHECKING:
    from searchmesh.v1.embedding_pb2_grpc import EmbeddingAsyncStub  # exists in the stubs only

_ROUNDS = 6
_ROUND_S = 3.0
_CONCURRENCY = 8
_TEXTS = 500
_TIMEOUT_S = 10.0


async def cache(mesh: Mesh) -> Figure:
    """Requests per second of both sides in alternating rounds, and the mesh's latency in them."""
    requests = [
        embedding_pb2.EmbedRequest(inputs=[common_pb2.Content(text=document.text[:200])])
        for document in corpus()[:_TEXTS]
    ]
    async with loopback(mesh.targets.embedding_target) as channel:
        stub = EmbeddingStub(channel)
        answer = await _filled(stub, requests)
        with bare_service(answer.SerializeToString()) as target:
            async with loopback(target) as bare_channel:
                bare = EmbeddingStub(bare_channel)
                rounds = await alternating(_ROUNDS, lambda: _round(stub, requests), lambda: _round(bare, requests))
    return Figure(
        name="cache",
        title="Answers from the cache ÷ a bare grpc.aio service with the same payload",
        measured="mesh",
        reference="bare",
        result="result",
        comparisons=[
            Comparison(
                "requests/s, ratio",
                measured=median(ours.per_second for ours, _ in rounds),
                reference=median(theirs.per_second for _, theirs in rounds),
                result=median(ours.per_second / theirs.per_second for ours, theirs in rounds),
                target=at_least(0.6),
            ),
            Comparison(
                "p50, ms",
                measured=(p50 := median(ours.latency.p50_ms for ours, _ in rounds)),
                reference=median(theirs.latency.p50_ms for _, theirs in rounds),
                result=p50,
                target=at_most(3.0),
            ),
        ],
        conditions=[
            f"One text a request, {answer.vectors.dimensions} float32 values back ({answer.ByteSize()} bytes); the"
            " client is this process with the generated stubs, the same for both sides.",
            f"{_ROUNDS} alternating rounds of {_ROUND_S:g} s at concurrency {_CONCURRENCY}; medians.",
            "The bare service is grpc.aio on uvloop in a process of its own and answers without parsing the request.",
        ],
    )


async def _filled(
    stub: EmbeddingAsyncStub, requests: Sequence[embedding_pb2.EmbedRequest]
) -> embedding_pb2.EmbedResponse:
    """An answer from the cache, once it has them all. Raises FailedPrecondition if it does not keep them."""
    for request in requests:
        await stub.Embed(request, timeout=_TIMEOUT_S)
    answers = [await stub.Embed(request, timeout=_TIMEOUT_S) for request in requests]
    if not all(answer.inputs[0].cached for answer in answers):
        raise FailedPrecondition("the embedding service does not answer from its cache; is the cache running?")
    return answers[0]


async def _round(stub: EmbeddingAsyncStub, requests: Sequence[embedding_pb2.EmbedRequest]) -> Outcome:
    async def embed(number: int) -> None:
        await stub.Embed(requests[number % len(requests)], timeout=_TIMEOUT_S)

    return (await closed_loop(embed, concurrency=_CONCURRENCY, seconds=_ROUND_S)).checked()
