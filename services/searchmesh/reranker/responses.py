"""Scores as the response of the wire."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from searchmesh.encoding import Vectors
from searchmesh.reranker.scorer import Abilities, Read, Scores
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import common_pb2, reranker_pb2


def response_of(
    request: reranker_pb2.RerankRequest,
    model: str,
    abilities: Abilities,
    scores: Scores,
    call: Call,
    *,
    max_message_bytes: int,
) -> reranker_pb2.RerankResponse:
    """The best `top_n` documents, best first; equal ones keep the order of the request.

    Raises InvalidArgument if the vectors that are to be returned do not fit into a message.
    """
    documents = scores.documents
    # Stable: ties stay as they are.
    order = sorted(range(len(documents)), key=lambda index: -documents[index].score)[: request.top_n or None]
    response = reranker_pb2.RerankResponse(
        model=model,
        results=[
            reranker_pb2.RerankResult(
                index=index,
                relevance_score=documents[index].score,
                document=request.documents[index] if request.return_documents else None,
                input=_info(documents[index].read),
            )
            for index in order
        ],
        usage=common_pb2.Usage(tokens=scores.query.tokens + sum(document.read.tokens for document in documents)),
        timings=call.stages.to_proto(),
        query=_info(scores.query),
    )
    if request.return_document_vectors:
        chosen = [vectors for index in order if (vectors := documents[index].vectors) is not None]
        response.document_vectors.CopyFrom(_packed(chosen, tokens=abilities.vectors == "tokens"))
        if response.ByteSize() > max_message_bytes:
            raise InvalidArgument(
                "return_document_vectors",
                f"make a response of {response.ByteSize()} bytes, the limit is {max_message_bytes}; set top_n or send"
                " fewer documents",
            )
    return response


def _info(read: Read) -> common_pb2.InputInfo:
    return common_pb2.InputInfo(tokens=read.tokens, truncated=read.truncated)


def _packed(vectors: Sequence[Vectors], *, tokens: bool) -> common_pb2.Vectors:
    """float32; with offsets if a document has a vector a token."""
    rows = np.concatenate(vectors)
    return common_pb2.Vectors(
        dtype=common_pb2.DTYPE_FLOAT32,
        dimensions=rows.shape[1],
        row_offsets=accumulate(map(len, vectors), initial=0) if tokens else (),
        data=rows.astype("<f4", copy=False).tobytes(),
    )
