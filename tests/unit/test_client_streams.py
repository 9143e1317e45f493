"""Streams of the client over real gRPC: order, resumption after a cut, flow control, failing sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from searchmesh.client import AsyncClient, IndexProgress, streams
from searchmesh.runtime.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    SearchmeshError,
    Unavailable,
)
from support import fake_mesh
from support.fake_mesh import FakeMesh


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    monkeypatch.setattr(streams, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(streams, "_LONGEST_WAIT_S", 0.02)
    async with fake_mesh.running(mesh) as target, AsyncClient(target, target, target, timeout_s=5) as client:
        await client.create_collection("docs")
        yield client


def _documents(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {"id": f"d{number}", "text": f"text {number}"}


async def _index(client: AsyncClient, count: int, batch_size: int = 10) -> list[IndexProgress]:
    return [progress async for progress in client.index("docs", _documents(count), batch_size=batch_size)]


async def test_all_documents_arrive_in_order(client: AsyncClient, mesh: FakeMesh) -> None:
    progress = await _index(client, 95)
    assert mesh.received == [f"d{number}" for number in range(95)]
    assert (progress[-1].acknowledged, progress[-1].indexed) == (95, 95)
    assert len(progress) >= 10


async def test_nothing_to_index_is_no_error(client: AsyncClient) -> None:
    assert await _index(client, 0) == []


async def test_unchanged_and_failed_documents_are_counted(client: AsyncClient) -> None:
    await _index(client, 3)
    documents = [*_documents(3), {"id": "empty", "text": ""}]
    progress = [p async for p in client.index("docs", documents, batch_size=2)]
    assert (progress[-1].unchanged, progress[-1].failed) == (3, 1)
    (error,) = [error for p in progress for error in p.errors]
    assert (error.position, error.id, error.code) == (3, "empty", "INVALID_ARGUMENT")


async def test_a_cut_stream_resumes_from_what_is_acknowledged(client: AsyncClient, mesh: FakeMesh) -> None:
    def cut(mesh: FakeMesh, acknowledged: int) -> SearchmeshError | None:
        return Unavailable("going away") if acknowledged >= 30 and mesh.streams < 4 else None

    mesh.after_acknowledged = cut
    progress = await _index(client, 200)
    assert mesh.streams == 4
    assert list(mesh.documents["docs"]) == [f"d{number}" for number in range(200)]
    # Every cut came with an acknowledgement, so no document was sent for nothing.
    assert len(mesh.received) == 200
    final = progress[-1]
    assert (final.acknowledged, final.indexed, final.unchanged) == (200, 200, 0)
    counts = [p.acknowledged for p in progress]
    assert counts == sorted(counts)


async def test_positions_of_errors_count_from_the_start_after_a_cut(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.after_acknowledged = lambda mesh, _: Unavailable("going away") if mesh.streams == 1 else None
    documents = [*_documents(15), {"id": "empty", "text": ""}]
    progress = [p async for p in client.index("docs", documents, batch_size=10)]
    assert [error.position for p in progress for error in p.errors] == [15]
    assert mesh.streams == 2


async def test_a_server_that_is_restarted_is_found_again(client: AsyncClient, mesh: FakeMesh) -> None:
    server, port = await fake_mesh.start(mesh)
    async with AsyncClient(router=f"127.0.0.1:{port}") as other:

        async def source() -> AsyncIterator[dict[str, str]]:
            nonlocal server
            for number, document in enumerate(_documents(60)):
                if number == 30:
                    await server.stop(0)
                    server, _ = await fake_mesh.start(mesh, port)
                yield document

        progress = [p async for p in other.index("docs", source(), batch_size=5)]
    assert progress[-1].acknowledged == 60
    assert len(mesh.documents["docs"]) == 60
    await server.stop(0)


async def test_a_shed_stream_waits_as_it_was_told(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("full", retry_after_s=0.1)]
    start = asyncio.get_running_loop().time()
    assert (await _index(client, 5))[-1].indexed == 5
    assert asyncio.get_running_loop().time() - start >= 0.1


async def test_tries_without_progress_are_bounded(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("full", retry_after_s=0.001)] * 100
    calls = mesh.calls
    with pytest.raises(Overloaded):
        await _index(client, 5)
    assert mesh.calls - calls == streams.MAX_TRIES


async def test_other_errors_end_the_stream(client: AsyncClient, mesh: FakeMesh) -> None:
    with pytest.raises(NotFound):
        async for _ in client.index("nothing", _documents(5)):
            pass
    assert mesh.streams == 1


async def test_the_deadline_of_a_stream_holds(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.hang.clear()
    with pytest.raises(DeadlineExceeded):
        async for _ in client.index("docs", _documents(5), timeout_s=0.2):
            pass


async def test_a_source_that_fails_fails_the_stream_with_its_own_error(client: AsyncClient) -> None:
    def source() -> Iterator[dict[str, str]]:
        yield from _documents(3)
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        async for _ in client.index("docs", source()):
            pass


@pytest.mark.parametrize(
    "document", [{"id": 7, "text": "x"}, {"id": "a", "body": "x"}, {"id": "a", "metadata": {"when": object()}}]
)
async def test_what_is_no_document_is_named(client: AsyncClient, document: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        async for _ in client.index("docs", [*_documents(2), document]):
            pass
    assert invalid.value.field.startswith("documents[2]")


async def test_the_source_is_read_no_faster_than_the_service_works(client: AsyncClient, mesh: FakeMesh) -> None:
    read = 0

    async def source() -> AsyncIterator[dict[str, str]]:
        nonlocal read
        for number in range(20_000):
            read += 1
            yield {"id": f"d{number}", "text": "x" * 1000}

    progress = client.index("docs", source(), batch_size=20)
    mesh.hang.clear()
    first = asyncio.ensure_future(anext(progress))
    await asyncio.sleep(0.5)
    assert read < 5_000
    mesh.hang.set()
    await first
    await progress.aclose()


async def test_a_stream_that_is_left_early_leaves_nothing_behind(client: AsyncClient, mesh: FakeMesh) -> None:
    before = asyncio.all_tasks()
    closed = False

    async def source() -> AsyncIterator[dict[str, str]]:
        nonlocal closed
        try:
            for document in _documents(10_000):
                yield document
        finally:
            closed = True

    progress = client.index("docs", source(), batch_size=5)
    async for _ in progress:
        break
    await progress.aclose()
    await asyncio.sleep(0.05)
    left = [task for task in asyncio.all_tasks() - before if "AioServer" not in repr(task)]
    assert left == []
    assert closed


async def test_batches_are_embedded_in_order_and_a_failing_one_does_not_end_the_stream(client: AsyncClient) -> None:
    batches = [["a", "b"], [""], ["c d"]]
    embedded = [batch async for batch in client.embed_stream(batches)]
    assert [batch.sequence for batch in embedded] == [0, 1, 2]
    assert [len(embedded[i].embeddings.vectors) for i in (0, 2)] == [2, 1]
    with pytest.raises(InvalidArgument):
        _ = embedded[1].embeddings


async def test_a_cut_embedding_stream_resumes(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.after_acknowledged = lambda mesh, count: Unavailable("x") if count == 4 and mesh.streams < 3 else None
    embedded = [batch async for batch in client.embed_stream([f"text {i}"] for i in range(20))]
    assert [batch.sequence for batch in embedded] == list(range(20))
    assert all(batch.embeddings.tokens == 2 for batch in embedded)
    assert mesh.streams == 3
