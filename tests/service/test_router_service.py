"""The router as a process sees it: over gRPC, between a real Redis and services that can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format

from searchmesh.router.settings import RouterSettings
from searchmesh.runtime.errors import InvalidArgument, from_rpc_error
from searchmesh.v1 import common_pb2, models_pb2, router_pb2
from support.ports import free_port
from support.redis_server import RedisServer
from support.router import DIMENSIONS, EMBEDDERS, MODEL, RERANKERS
from support.router_mesh import Mesh

PAPERS: list[dict[str, object]] = [
    {"id": "flow", "title": "Flow", "text": "laminar flow over a wing", "metadata": {"year": 1950, "tags": ["a", "b"]}},
    {"id": "heat", "text": "heat transfer in laminar layers, at length", "metadata": {"year": 1970}},
    {"id": "cake", "text": "butter and sugar", "metadata": {"year": 1980, "tags": "food"}},
]


@pytest.fixture
async def mesh(redis_server: RedisServer) -> AsyncIterator[Mesh]:
    with redis_server.client() as client:
        client.flushall()
    async with Mesh(redis_server.url) as mesh:
        await mesh.collections.Create(
            json_format.ParseDict(
                {
                    "collection": {
                        "name": "papers",
                        "filter_fields": [
                            {"name": "year", "type": "FILTER_TYPE_NUMBER"},
                            {"name": "tags", "type": "FILTER_TYPE_TAG"},
                        ],
                    }
                },
                router_pb2.CreateCollectionRequest(),
            )
        )
        progress = await mesh.index("papers", *PAPERS)
        assert progress[-1].indexed == 3
        yield mesh


def ids(response: router_pb2.SearchResponse | router_pb2.RetrieveResponse) -> list[str]:
    return [hit.document.id for hit in response.hits]


async def test_from_a_collection_to_ranked_passages(mesh: Mesh) -> None:
    response = await mesh.search("laminar flow")
    assert ids(response)[0] == "flow"
    top = response.hits[0]
    assert (top.document.title, top.document.text, top.collection) == ("Flow", "laminar flow over a wing", "papers")
    assert json_format.MessageToDict(top.document.metadata) == {"year": 1950, "tags": ["a", "b"]}
    assert set(top.stage_scores) == {"dense.text", "lexical", "fused"}
    assert [timing.stage for timing in response.timings] != []
    assert not response.degraded
    assert ids(await mesh.search("laminar", filter={"number": {"field": "year", "gte": 1960}}))[0] == "heat"
    assert ids(await mesh.search("laminar", filter={"tag": {"field": "tags", "values": ["food"]}})) == ["cake"]
    assert ids(await mesh.search("laminar", rerank={"enabled": True}))[0] == "heat"


async def test_passages_are_embedded_as_bulk_work_and_queries_before_it(mesh: Mesh) -> None:
    passages = mesh.embedding.requests[-1]
    assert passages.lane == common_pb2.LANE_BULK
    assert passages.truncation == common_pb2.TRUNCATION_END
    assert passages.inputs[0].text == "Flow\nlaminar flow over a wing"
    await mesh.search("q")
    assert mesh.embedding.requests[-1].lane == common_pb2.LANE_INTERACTIVE
    assert mesh.embedding.requests[-1].model == MODEL


async def test_collections_and_documents_can_be_read_and_deleted(mesh: Mesh) -> None:
    collection = await mesh.collections.Get(router_pb2.GetCollectionRequest(name="papers"))
    assert (collection.document_count, collection.language) == (3, "english")
    assert [(space.name, space.embedder, space.dimensions) for space in collection.spaces] == [
        ("text", MODEL, DIMENSIONS)
    ]
    assert collection.create_time.seconds > 1_600_000_000
    listed = await mesh.collections.List(router_pb2.ListCollectionsRequest())
    assert listed.collections == [collection]
    got = await mesh.documents.Get(router_pb2.GetDocumentsRequest(collection="papers", ids=["cake", "none", "flow"]))
    assert [document.id for document in got.documents] == ["cake", "flow"]
    deleted = await mesh.documents.Delete(router_pb2.DeleteDocumentsRequest(collection="papers", ids=["cake", "none"]))
    assert deleted.deleted == 1
    answer = await mesh.collections.Delete(router_pb2.DeleteCollectionRequest(name="papers"))
    assert answer.deleted_documents == 2
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.search("laminar")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_bad_document_is_reported_and_does_not_end_the_stream(mesh: Mesh) -> None:
    progress = await mesh.index("papers", {"id": "", "text": "x"}, {"id": "new", "text": "x"}, PAPERS[0])
    last = progress[-1]
    assert (last.acknowledged, last.indexed, last.unchanged, last.failed) == (3, 1, 1, 1)
    errors = [error for one in progress for error in one.errors]
    assert [(error.position, error.code) for error in errors] == [(0, grpc.StatusCode.INVALID_ARGUMENT.value[0])]


@pytest.mark.parametrize(("first", "code"), [("", grpc.StatusCode.NOT_FOUND), ("nothing", grpc.StatusCode.NOT_FOUND)])
async def test_a_stream_into_no_collection_fails(mesh: Mesh, first: str, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.index(first, *PAPERS)
    assert caught.value.code() == code


async def test_a_wrong_filter_names_its_field(mesh: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.search("laminar", filter={"tag": {"field": "color", "values": ["red"]}})
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    assert error.field == "filter.tag.field"


@pytest.mark.parametrize("text", ["(@year:[0 1]) | *", 'a"b\\', "שלום", "😀", "the of", "word " * 40_000])
async def test_any_text_can_be_searched_for(mesh: Mesh, text: str) -> None:
    assert len((await mesh.search(text)).hits) == 3


async def test_services_that_are_down_degrade_a_search_and_come_back(mesh: Mesh) -> None:
    await mesh.stop("reranker")
    response = await mesh.search("laminar flow", rerank={"enabled": True})
    assert ids(response)[0] == "flow"
    assert [(one.stage, one.reason) for one in response.degraded] == [("rerank", "RERANKING_SERVICE_UNAVAILABLE")]
    assert "127.0.0.1" not in response.degraded[0].message
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.search("laminar flow", rerank={"required": True})
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    await mesh.stop("embedding")
    response = await mesh.search("laminar flow")
    assert ids(response) == ["flow", "heat"]
    assert [(one.stage, one.reason) for one in response.degraded] == [("dense.text", "EMBEDDING_SERVICE_UNAVAILABLE")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.search("laminar flow", mode="SEARCH_MODE_DENSE")
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    await mesh.start("embedding", mesh.settings.embedding_target, mesh.embedding)
    for _ in range(50):
        response = await mesh.search("laminar flow")
        if not response.degraded:
            break
        await asyncio.sleep(0.1)
    assert not response.degraded


async def test_the_models_of_all_services_are_listed(mesh: Mesh) -> None:
    models = await mesh.models.List(models_pb2.ListModelsRequest())
    assert [model.name for model in models.models] == sorted(
        {one.name for one in (*EMBEDDERS, *RERANKERS)}, key=str.casefold
    )


async def test_a_router_is_a_source_of_another(mesh: Mesh, tmp_path: Path) -> None:
    retrieved = await mesh.retriever.Retrieve(
        router_pb2.RetrieveRequest(collection="papers", query=common_pb2.Content(text="laminar flow"), top_k=2)
    )
    assert ids(retrieved) == ["flow", "heat"]
    sources = (f"far=127.0.0.1:{mesh.settings.port}/papers", f"gone=127.0.0.1:{free_port()}")
    with RedisServer(tmp_path) as redis:
        async with Mesh(redis.url, *sources) as other:
            response = await other.search("laminar flow", collections=["far", "gone"], rerank={"enabled": True})
            assert {hit.collection for hit in response.hits} == {"far"}
            assert ids(response)[0] == "heat"
            assert [(one.stage, one.reason) for one in response.degraded] == [("gone", "SOURCE_GONE_UNAVAILABLE")]
            number: dict[str, object] = {"number": {"field": "year", "lt": 1960}}
            assert ids(await other.search("laminar", collections=["far"], filter=number)) == ["flow"]
            wrong: dict[str, object] = {"number": {"field": "x", "lt": 1}}
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await other.search("laminar", collections=["far"], filter=wrong)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_sources_are_read_from_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHMESH_SOURCES", "a=host:1, b-c=dns:///x:2/some-collection")
    a, b = RouterSettings().sources
    assert (a.name, a.target, a.collection) == ("a", "host:1", "a")
    assert (b.name, b.target, b.collection) == ("b-c", "dns:///x:2", "some-collection")
    for wrong in ("host:1", "=host:1", "dense=host:1", "a=host:1,a=host:2"):
        monkeypatch.setenv("SEARCHMESH_SOURCES", wrong)
        with pytest.raises(ValueError, match="source"):
            RouterSettings()
