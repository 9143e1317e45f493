"""Images, code and token vectors over gRPC: collections, documents, searches, and every complaint by its field."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format

from searchmesh.runtime.errors import InvalidArgument, from_rpc_error
from searchmesh.v1 import common_pb2, router_pb2
from support.redis_server import RedisServer
from support.router import CLIP, CODE, COLBERT, DIMENSIONS, MODEL, OMNI, SEEING
from support.router_mesh import Mesh

DEFINITION: dict[str, object] = {
    "name": "things",
    "spaces": [{"name": "text"}, {"name": "code", "embedder": CODE}, {"name": "image", "embedder": CLIP}],
    "multi_vectors": {"embedder": COLBERT, "dtype": "DTYPE_BINARY"},
    "reranker": COLBERT,
}


def data(words: str) -> dict[str, object]:
    """An image of what the words say."""
    return {"data": base64.b64encode(words.encode()).decode()}


THINGS: list[dict[str, object]] = [
    {"id": "boat", "title": "A boat", "text": "a red boat on the lake"},
    {"id": "photo", "image": data("a red boat with a sail")},
    {"id": "link", "title": "Link", "image": {"url": "https://example.org/a-green-boat"}},
    {"id": "sort", "text": "def sort_boats(boats)"},
]


async def create(mesh: Mesh, definition: dict[str, object]) -> router_pb2.Collection:
    request = json_format.ParseDict({"collection": definition}, router_pb2.CreateCollectionRequest())
    return await mesh.collections.Create(request)


@pytest.fixture
async def mesh(redis_server: RedisServer) -> AsyncIterator[Mesh]:
    with redis_server.client() as client:
        client.flushall()
    async with Mesh(redis_server.url) as mesh:
        await create(mesh, DEFINITION)
        assert (await mesh.index("things", *THINGS))[-1].indexed == 4
        yield mesh


def ids(response: router_pb2.SearchResponse) -> list[str]:
    return [hit.document.id for hit in response.hits]


async def search(mesh: Mesh, query: dict[str, object], **fields: object) -> router_pb2.SearchResponse:
    values = {"collections": ["things"], "query": query} | fields
    return await mesh.router.Search(json_format.ParseDict(values, router_pb2.SearchRequest()), timeout=5)


async def refused(mesh: Mesh, query: dict[str, object], **fields: object) -> InvalidArgument:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await search(mesh, query, **fields)
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    return error


async def test_a_collection_says_what_it_is_made_of(mesh: Mesh) -> None:
    collection = await mesh.collections.Get(router_pb2.GetCollectionRequest(name="things"))
    assert [(space.name, space.embedder, space.dimensions) for space in collection.spaces] == [
        ("text", MODEL, DIMENSIONS),
        ("code", CODE, DIMENSIONS),
        ("image", CLIP, DIMENSIONS),
    ]
    assert collection.multi_vectors == router_pb2.MultiVectors(
        embedder=COLBERT, dimensions=DIMENSIONS, dtype=common_pb2.DTYPE_BINARY
    )
    plain = await create(mesh, {"name": "plain"})
    assert not plain.HasField("multi_vectors")


async def test_each_space_is_embedded_with_its_task_in_the_bulk_lane(mesh: Mesh) -> None:
    asked = [request for request in mesh.embedding.requests if len(request.inputs) > 1]
    assert [(request.model, request.task, request.multi_vector, len(request.inputs)) for request in asked] == [
        (MODEL, "", False, 3),
        (CODE, "nl2code.passage", False, 3),
        (CLIP, "", False, 2),
        (COLBERT, "retrieval.passage", True, 3),
    ]
    assert {request.lane for request in asked} == {common_pb2.LANE_BULK}
    assert [content.image.WhichOneof("source") for content in asked[2].inputs] == ["data", "url"]


async def test_a_search_says_where_it_looked_and_why(mesh: Mesh) -> None:
    response = await search(mesh, {"text": "a red boat"}, rerank={"enabled": False})
    assert set(ids(response)[:2]) == {"boat", "photo"}
    photo = next(hit for hit in response.hits if hit.document.id == "photo")
    assert photo.document.image.data == b"a red boat with a sail"
    assert set(photo.stage_scores) == {"dense.image", "fused"}
    assert [(route.collection, route.space, route.searched, route.reason) for route in response.routes] == [
        ("things", "text", True, "READS_THE_QUERY"),
        ("things", "code", False, "NO_CODE_IN_QUERY"),
        ("things", "image", True, "READS_THE_QUERY"),
        ("things", "lexical", True, "READS_THE_QUERY"),
    ]
    assert all(route.message for route in response.routes)
    assert {request.task for request in mesh.embedding.requests[-2:]} == {"", "retrieval.query"}


async def test_code_is_found_with_the_task_of_questions_about_code(mesh: Mesh) -> None:
    response = await search(mesh, {"text": "def sort_boats(boats)"}, rerank={"enabled": False})
    assert ids(response)[0] == "sort"
    assert "nl2code.query" in {request.task for request in mesh.embedding.requests[-3:]}


@pytest.mark.parametrize("query", [data("a green boat"), {"url": "https://example.org/a-green-boat"}])
async def test_an_image_is_searched_for(mesh: Mesh, query: dict[str, object]) -> None:
    response = await search(mesh, {"image": query}, rerank={"enabled": False})
    assert ids(response) == ["link", "photo"]
    assert response.hits[0].document.image.url == "https://example.org/a-green-boat"
    assert [route.space for route in response.routes if route.searched] == ["image"]


async def test_stored_token_vectors_go_to_the_reranker_and_no_texts(mesh: Mesh) -> None:
    response = await search(mesh, {"text": "a red boat"})
    (request,) = mesh.reranker.requests
    assert (request.model, list(request.documents)) == (COLBERT, [])
    vectors = request.document_vectors
    assert (vectors.dtype, vectors.dimensions) == (common_pb2.DTYPE_BINARY, DIMENSIONS)
    assert sorted(end - start for start, end in zip(vectors.row_offsets, vectors.row_offsets[1:], strict=False)) == [
        1, 2, 8
    ]  # fmt: skip
    assert len(vectors.data) == 11 * DIMENSIONS // 8
    assert [id for id in ids(response) if id != "photo"] == ["boat", "sort", "link"]
    assert not response.degraded


async def test_images_go_to_a_reranker_that_reads_them(mesh: Mesh) -> None:
    response = await search(mesh, {"text": "a red boat"}, rerank={"model": SEEING})
    (request,) = mesh.reranker.requests
    kinds = sorted(content.image.WhichOneof("source") or "text" for content in request.documents)
    assert kinds == ["data", "text", "text", "url"]
    assert {hit.document.id for hit in response.hits if "rerank" in hit.stage_scores} == set(ids(response))


async def test_an_image_that_is_gone_keeps_its_place_in_the_order(mesh: Mesh) -> None:
    await mesh.index("things", {"id": "gone", "image": {"url": "https://example.org/gone"}})
    response = await search(mesh, {"image": data("gone")}, rerank={"model": SEEING})
    assert ids(response)[0] == "gone"
    assert [(one.stage, one.reason) for one in response.degraded] == [("rerank", "INVALID_ARGUMENT")]
    assert "things/gone was not read" in response.degraded[0].message
    assert all("rerank" in hit.stage_scores for hit in response.hits[1:])


async def test_documents_come_back_with_their_images(mesh: Mesh) -> None:
    got = await mesh.documents.Get(router_pb2.GetDocumentsRequest(collection="things", ids=["photo", "link", "boat"]))
    photo, link, boat = got.documents
    assert (photo.image.data, link.image.url) == (b"a red boat with a sail", "https://example.org/a-green-boat")
    assert not boat.HasField("image")


async def test_more_images_than_an_answer_holds_are_to_be_asked_for_in_parts(mesh: Mesh) -> None:
    large = [{"id": f"large{n}", "image": data("x" * 4_000_000)} for n in range(3)]
    for one in large:
        assert (await mesh.index("things", one))[-1].indexed == 1
    names = [str(one["id"]) for one in large]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.documents.Get(router_pb2.GetDocumentsRequest(collection="things", ids=names))
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    assert (error.field, "names 12000000 bytes of images" in error.problem) == ("ids", True)
    response = await search(mesh, {"image": data("x" * 10)}, rerank={"enabled": False})
    assert [(one.stage, one.reason) for one in response.degraded] == [("fetch", "IMAGES_LEFT_OUT")]
    without = [hit for hit in response.hits if hit.document.image.WhichOneof("source") is None]
    assert [hit.document.HasField("image") for hit in without] == [True]


async def test_a_document_whose_image_is_bad_is_reported_by_its_field(mesh: Mesh) -> None:
    bad: list[dict[str, object]] = [
        {"id": "broken", "image": data("broken")},
        {"id": "empty", "image": {}},
        {"id": "scheme", "image": {"url": "ftp://example.org/a"}},
        {"id": "large", "image": data("x" * 5_000_000)},
    ]
    progress = await mesh.index("things", *bad)
    errors = {error.id: error.message for one in progress for error in one.errors}
    assert errors == {
        "broken": "image: is no image",
        "empty": "image: has neither data nor url",
        "scheme": "image.url: must be an http or https URL",
        "large": "image.data: has 5000000 bytes, the limit is 4194304",
    }


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"spaces": [{"name": "image"}]}, "collection.spaces[0].embedder"),
        ({"spaces": [{"name": "sound"}]}, "collection.spaces[0].name"),
        ({"multi_vectors": {"embedder": CLIP}}, "collection.multi_vectors.embedder"),
        ({"multi_vectors": {"embedder": COLBERT, "dtype": "DTYPE_FLOAT32"}}, "collection.multi_vectors.dtype"),
    ],
)
async def test_a_definition_is_refused_by_its_field(mesh: Mesh, definition: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(mesh, {"name": "new"} | definition)
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_a_query_is_refused_by_its_field(mesh: Mesh) -> None:
    await create(mesh, {"name": "plain"})
    assert (await refused(mesh, {"image": data("x")}, collections=["plain"])).field == "query.image"
    assert (await refused(mesh, {"image": data("x")}, mode="SEARCH_MODE_LEXICAL")).field == "mode"
    assert (await refused(mesh, {"image": {}})).field == "query.image"
    assert (await refused(mesh, {"text": "x"}, spaces=["sound"])).field == "spaces[0]"
    assert (await refused(mesh, {"image": data("x")}, rerank={"model": COLBERT})).field == "rerank.model"


async def test_a_model_for_both_finds_texts_by_an_image(mesh: Mesh) -> None:
    await create(mesh, {"name": "omni", "spaces": [{"name": name, "embedder": OMNI} for name in ("text", "image")]})
    await mesh.index("omni", *THINGS)
    response = await search(mesh, {"image": data("a red boat")}, collections=["omni"])
    assert set(ids(response)[:2]) == {"boat", "photo"}
    assert {route.space for route in response.routes if route.searched} == {"text", "image"}
