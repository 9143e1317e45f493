"""Vector spaces, images and routes in the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from searchmesh.client import AsyncClient, Document, Image, MultiVectors, Route, VectorSpace
from searchmesh.client.documents import document_proto
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2
from support import fake_mesh
from support.fake_mesh import FakeMesh


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with fake_mesh.running(mesh) as target, AsyncClient(target, target, target, timeout_s=5) as client:
        yield client


async def test_a_collection_has_the_spaces_and_token_vectors_that_it_was_made_with(
    client: AsyncClient, mesh: FakeMesh
) -> None:
    spaces = (VectorSpace("text"), VectorSpace("image", "jina-clip-v2", 512))
    multi = MultiVectors("jina-colbert-v2", 96, "binary")
    created = await client.create_collection("photos", spaces=spaces, multi_vectors=multi)
    assert (created.spaces, created.multi_vectors) == (spaces, multi)
    assert mesh.collections["photos"].multi_vectors.dtype == common_pb2.DTYPE_BINARY
    assert (await client.create_collection("plain")).multi_vectors is None
    with pytest.raises(InvalidArgument) as caught:
        await client.create_collection("bad", multi_vectors=MultiVectors("m", dtype="int4"))  # type: ignore[arg-type]
    assert caught.value.field == "multi_vectors.dtype"


async def test_images_are_indexed_and_come_back(client: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    await client.create_collection("photos")
    documents = [
        Document("file", image=Image.from_file(tmp_path / "a.png")),
        {"id": "url", "image": "https://example.org/a.png", "title": "T"},
        Document("none", "words"),
    ]
    progress = [one async for one in client.index("photos", documents)]
    assert progress[-1].indexed == 3
    got = await client.get_documents("photos", ["file", "url", "none"])
    assert [one.image for one in got] == [Image(b"\x89PNG"), Image(url="https://example.org/a.png"), None]


def test_an_image_whose_data_was_left_out_is_neither_data_nor_url() -> None:
    message = router_pb2.Document(id="d", image=common_pb2.Image())
    assert Document.from_proto(message).image == Image()


@pytest.mark.parametrize("image", [Image(), Image(b"x", "http://a"), 7, {"url": "http://a"}])
def test_what_cannot_be_an_image_is_refused_by_its_place(image: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        document_proto(3, {"id": "d", "image": image})
    assert caught.value.field == "documents[3].image"


@pytest.mark.parametrize("image", [None, ""])
def test_no_image_is_no_fault(image: object) -> None:
    assert not document_proto(0, {"id": "d", "text": "x", "image": image}).HasField("image")


async def test_a_search_is_asked_by_image_in_named_spaces_and_says_where_it_looked(
    client: AsyncClient, mesh: FakeMesh
) -> None:
    await client.create_collection("photos")
    mesh.routes = [
        router_pb2.Route(collection="photos", space="image", searched=True, reason="NAMED", message="named"),
        router_pb2.Route(collection="photos", space="lexical", reason="MODE", message="the mode is dense"),
    ]
    result = await client.search("photos", Image(b"\x89PNG"), spaces=["image"], mode="dense")
    assert result.routes == (
        Route("photos", "image", True, "NAMED", "named"),
        Route("photos", "lexical", False, "MODE", "the mode is dense"),
    )
    (asked,) = mesh.searches
    assert (asked.query.image.data, list(asked.spaces)) == (b"\x89PNG", ["image"])
    await client.search("photos", "words", spaces="image")
    assert list(mesh.searches[1].spaces) == ["image"]
    with pytest.raises(InvalidArgument):
        await client.search("photos", Image())
