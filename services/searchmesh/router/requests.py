"""Search requests: checked against the limits, with the defaults filled in."""

from __future__ import annotations

import math

from searchmesh.router import convert
from searchmesh.router.documents import check_image
from searchmesh.router.fusion import RRF_K
from searchmesh.router.index import Content
from searchmesh.router.query import (
    MAX_CANDIDATES,
    MAX_QUERY_BYTES,
    MAX_RERANK_DEPTH,
    FusionMethod,
    FusionOptions,
    Mode,
    RerankOptions,
    SearchQuery,
)
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2

DEFAULT_TOP_K = 10
DEFAULT_CANDIDATES = 100
DEFAULT_RERANK_DEPTH = 50
MAX_COLLECTIONS = 16

_METHODS = {
    router_pb2.FUSION_METHOD_UNSPECIFIED: FusionMethod.CONVEX,
    router_pb2.FUSION_METHOD_RRF: FusionMethod.RRF,
    router_pb2.FUSION_METHOD_CONVEX: FusionMethod.CONVEX,
}


def search_query(request: router_pb2.SearchRequest, *, max_image_bytes: int) -> SearchQuery:
    """The search of a request. Raises InvalidArgument."""
    if not 1 <= len(request.collections) <= MAX_COLLECTIONS:
        raise InvalidArgument("collections", f"must name 1 to {MAX_COLLECTIONS}, names {len(request.collections)}")
    top_k = request.top_k or DEFAULT_TOP_K
    candidates = _limited("candidates", request.candidates or DEFAULT_CANDIDATES, MAX_CANDIDATES)
    if request.offset + top_k > candidates:
        raise InvalidArgument(
            "top_k",
            f"offset + top_k is {request.offset + top_k}, above the {candidates} candidates of each retriever; "
            f"ask for more candidates (at most {MAX_CANDIDATES})",
        )
    content = _content(request.query, max_image_bytes)
    return SearchQuery(
        content=content,
        collections=tuple(request.collections),
        mode=_mode(request.mode, content),
        top_k=top_k,
        offset=request.offset,
        filter=convert.filter_from_proto(request.filter) if request.HasField("filter") else None,
        fusion=_fusion(request.fusion),
        rerank=_rerank(request.rerank),
        candidates=candidates,
        ids_only=request.ids_only,
        spaces=tuple(dict.fromkeys(request.spaces)),
    )


def retrieve_query(request: router_pb2.RetrieveRequest, *, max_image_bytes: int) -> SearchQuery:
    """The search of a request for candidates: as many as each retriever gives, and no reranking."""
    top_k = _limited("top_k", request.top_k or DEFAULT_CANDIDATES, MAX_CANDIDATES)
    content = _content(request.query, max_image_bytes)
    return SearchQuery(
        content=content,
        collections=(request.collection,),
        mode=_mode(request.mode, content),
        top_k=top_k,
        filter=convert.filter_from_proto(request.filter) if request.HasField("filter") else None,
        rerank=RerankOptions(enabled=False),
        candidates=top_k,
    )


def _content(query: common_pb2.Content, max_image_bytes: int) -> Content:
    if query.WhichOneof("content") == "image":
        image = convert.image_from_proto(query.image)
        check_image("query.image", image, max_image_bytes)
        return image
    if not query.text or query.text.isspace():
        raise InvalidArgument("query.text", "is empty")
    if 4 * len(query.text) > MAX_QUERY_BYTES and (size := len(query.text.encode())) > MAX_QUERY_BYTES:
        raise InvalidArgument("query.text", f"has {size} bytes, the limit is {MAX_QUERY_BYTES}")
    return query.text


def _mode(value: int, content: Content) -> Mode:
    mode = convert.mode_from_proto("mode", value)
    if mode is Mode.LEXICAL and not isinstance(content, str):
        raise InvalidArgument("mode", "is lexical, and an image has no words to look up")
    return mode


def _fusion(message: router_pb2.Fusion) -> FusionOptions:
    if message.method not in _METHODS:
        raise InvalidArgument("fusion.method", f"{message.method} is not a known value")
    weight = message.dense_weight if message.HasField("dense_weight") else None
    # NaN is not within any bounds.
    if weight is not None and (not 0 <= weight <= 1 or math.isnan(weight)):
        raise InvalidArgument("fusion.dense_weight", f"must be from 0 to 1, is {weight:g}")
    return FusionOptions(_METHODS[message.method], message.rrf_k or RRF_K, weight)


def _rerank(message: router_pb2.Rerank) -> RerankOptions:
    return RerankOptions(
        enabled=message.enabled if message.HasField("enabled") else None,
        model=message.model,
        depth=_limited("rerank.depth", message.depth or DEFAULT_RERANK_DEPTH, MAX_RERANK_DEPTH),
        required=message.required,
    )


def _limited(field: str, value: int, limit: int) -> int:
    if value > limit:
        raise InvalidArgument(field, f"is {value}, the limit is {limit}")
    return value
