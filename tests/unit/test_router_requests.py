"""Search requests and their way into the router's words and back."""

from __future__ import annotations

import math

import pytest
from google.protobuf import json_format

from searchmesh.router import convert
from searchmesh.router.index import AllOf, AnyOf, Document, Filter, Image, Json, Not, NumberIn, TagIn
from searchmesh.router.query import FusionMethod, FusionOptions, Mode, RerankOptions
from searchmesh.router.requests import retrieve_query, search_query
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2


def request(**fields: object) -> router_pb2.SearchRequest:
    values: dict[str, object] = {"collections": ["c"], "query": {"text": "q"}} | fields
    return json_format.ParseDict(values, router_pb2.SearchRequest())


LIMIT = 1000
"""Bytes of an image."""


def test_defaults() -> None:
    query = search_query(request(), max_image_bytes=LIMIT)
    assert (query.mode, query.top_k, query.offset, query.candidates) == (Mode.HYBRID, 10, 0, 100)
    assert query.fusion == FusionOptions(FusionMethod.CONVEX, 60, None)
    assert query.rerank == RerankOptions(enabled=None, model="", depth=50, required=False)
    assert query.filter is None
    assert not query.ids_only


def test_what_is_asked_for() -> None:
    query = search_query(
        request(
            mode="SEARCH_MODE_DENSE",
            top_k=5,
            offset=20,
            candidates=200,
            fusion={"method": "FUSION_METHOD_RRF", "rrf_k": 10, "dense_weight": 0},
            rerank={"enabled": False, "model": "m", "depth": 7, "required": True},
            ids_only=True,
        ),
        max_image_bytes=LIMIT,
    )
    assert (query.mode, query.top_k, query.offset, query.candidates, query.end) == (Mode.DENSE, 5, 20, 200, 25)
    assert query.fusion == FusionOptions(FusionMethod.RRF, 10, 0.0)
    assert query.rerank == RerankOptions(False, "m", 7, True)
    assert query.ids_only


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"collections": []}, "collections"),
        ({"collections": ["c"] * 17}, "collections"),
        ({"query": {}}, "query.text"),
        ({"query": {"text": " \n"}}, "query.text"),
        ({"query": {"text": "x" * 300_000}}, "query.text"),
        ({"query": {"image": {"url": "u"}}}, "query.image.url"),
        ({"query": {"image": {"url": "file:///etc/passwd"}}}, "query.image.url"),
        ({"query": {"image": {"url": "http://[::1"}}}, "query.image.url"),
        ({"query": {"image": {"url": "https://a/" + "x" * 5000}}}, "query.image.url"),
        ({"query": {"image": {}}}, "query.image"),
        ({"query": {"image": {"data": "A" * 1336}}}, "query.image.data"),
        ({"query": {"image": {"url": "https://a/b.png"}}, "mode": "SEARCH_MODE_LEXICAL"}, "mode"),
        ({"mode": 9}, "mode"),
        ({"top_k": 101}, "top_k"),
        ({"top_k": 50, "offset": 51}, "top_k"),
        ({"candidates": 1001}, "candidates"),
        ({"rerank": {"depth": 501}}, "rerank.depth"),
        ({"fusion": {"method": 9}}, "fusion.method"),
        ({"fusion": {"dense_weight": 1.5}}, "fusion.dense_weight"),
        ({"fusion": {"dense_weight": "NaN"}}, "fusion.dense_weight"),
        ({"filter": {}}, "filter"),
        ({"filter": {"all": {"filters": [{"not": {}}]}}}, "filter.all.filters[0].not"),
    ],
)
def test_a_request_outside_the_limits_is_refused_by_its_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search_query(request(**fields), max_image_bytes=LIMIT)
    assert caught.value.field == field


@pytest.mark.parametrize("image", [Image(b"x" * LIMIT), Image(url="https://example.org/a.png?b=c")])
def test_an_image_can_be_the_query(image: Image) -> None:
    message = router_pb2.SearchRequest(
        collections=["c"], query=convert.content_to_proto(image), spaces=["image", "text", "image"]
    )
    query = search_query(message, max_image_bytes=LIMIT)
    assert (query.content, query.modality, query.spaces) == (image, "image", ("image", "text"))


def test_a_retrieval_asks_for_as_many_candidates_as_results_and_no_reranking() -> None:
    message = router_pb2.RetrieveRequest(collection="c", query=common_pb2.Content(text="q"), top_k=30)
    query = retrieve_query(message, max_image_bytes=LIMIT)
    assert (query.top_k, query.candidates, query.rerank.enabled) == (30, 30, False)
    unlimited = router_pb2.RetrieveRequest(collection="c", query=message.query)
    assert retrieve_query(unlimited, max_image_bytes=LIMIT).top_k == 100


FILTER: Filter = AllOf(
    (
        AnyOf((TagIn("t", ("a", "b")), Not(TagIn("t", ("c",))))),
        NumberIn("n", gte=0.0, lt=5.0),
        NumberIn("n", gt=1, lte=2),
    )
)


def test_a_filter_survives_the_wire() -> None:
    message = router_pb2.Filter.FromString(convert.filter_to_proto(FILTER).SerializeToString())
    assert convert.filter_from_proto(message) == FILTER


@pytest.mark.parametrize("image", [None, Image(b"data"), Image(url="http://a/b")])
def test_a_document_survives_the_wire(image: Image | None) -> None:
    metadata: dict[str, Json] = {"n": 3, "x": 0.5, "l": ["a", None, {"b": True}], "e": {}}
    document = Document("d", "title", "text", metadata, image)
    message = router_pb2.Document.FromString(convert.document_to_proto(document).SerializeToString())
    assert convert.document_from_proto(message) == document


def test_an_image_whose_data_was_left_out_is_there_without_a_source() -> None:
    message = convert.document_to_proto(Document("d", image=Image(unfetched=5)))
    assert message.HasField("image")
    assert message.image.WhichOneof("source") is None
    assert not convert.document_to_proto(Document("d")).HasField("image")


def test_metadata_with_a_number_that_json_has_not_is_refused() -> None:
    message = router_pb2.Document(id="d", text="x")
    message.metadata.fields["a"].number_value = math.inf
    with pytest.raises(InvalidArgument) as caught:
        convert.document_from_proto(message)
    assert caught.value.field == "metadata"
