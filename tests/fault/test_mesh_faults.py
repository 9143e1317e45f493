"""What a caller sees while parts of a running mesh are killed, paused or drowned."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psutil
import pytest

from searchmesh.client import AsyncClient, Document
from searchmesh.local import MeshSettings
from searchmesh.local.state import MeshState
from searchmesh.runtime.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    Overloaded,
    SearchmeshError,
    Unavailable,
)
from support.client import client_of
from support.ports import free_port
from support.services import start_embedding

LONG = "every word of this sentence costs the model some work " * 20


def _unseen(text: str = "new text") -> str:
    return f"{uuid.uuid4().hex[:8]} {text}"


def _process(mesh: MeshSettings, name: str) -> psutil.Process:
    state = MeshState.read(mesh.folder.state_file)
    assert state is not None
    (pid,) = [child.pid for child in state.children if child.name == name]
    assert pid is not None
    return psutil.Process(pid)


@contextmanager
def _paused(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


async def _until_it_works(call, timeout_s: float = 60.0) -> float:  # type: ignore[no-untyped-def]
    """Seconds until the call succeeds."""
    start = time.monotonic()
    while True:
        try:
            await call()
        except SearchmeshError:
            assert time.monotonic() - start < timeout_s
            await asyncio.sleep(0.1)
        else:
            return time.monotonic() - start


@pytest.fixture
async def client(fragile_mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    async with client_of(fragile_mesh) as client:
        yield client


@pytest.fixture
async def collection(client: AsyncClient) -> AsyncIterator[str]:
    name = f"faults-{uuid.uuid4().hex[:8]}"
    await client.create_collection(name, reranker="all-MiniLM-L6-v2")
    texts = ["gzip compresses files", "sockets connect machines", "threads run at the same time"]
    async for _ in client.index(name, [Document(str(i), text=text) for i, text in enumerate(texts)]):
        pass
    yield name
    await client.delete_collection(name)


async def test_calls_during_the_death_of_tritonserver_are_unavailable_and_the_mesh_recovers(
    client: AsyncClient, fragile_mesh: MeshSettings
) -> None:
    outcomes: list[SearchmeshError | None] = []
    longest_s = 0.0
    stop = asyncio.Event()

    async def traffic() -> None:
        nonlocal longest_s
        while not stop.is_set():
            start = time.monotonic()
            try:
                await client.embed([_unseen()], timeout_s=10)
                outcomes.append(None)
            except SearchmeshError as error:
                outcomes.append(error)
                await asyncio.sleep(0.05)
            longest_s = max(longest_s, time.monotonic() - start)

    callers = [asyncio.create_task(traffic()) for _ in range(4)]
    await asyncio.sleep(0.5)
    before = _process(fragile_mesh, "triton")
    before.kill()
    await asyncio.sleep(1.0)
    await _until_it_works(lambda: client.embed([_unseen()]))
    before_recovery = len(outcomes)
    await asyncio.sleep(1.0)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*callers), 15)
    failures = [outcome for outcome in outcomes if outcome is not None]
    assert failures, "the death went unnoticed"
    assert {type(failure) for failure in failures} <= {Unavailable, BackendUnavailable}
    assert {failure.reason for failure in failures} <= {"BACKEND_UNAVAILABLE", "MODEL_NOT_READY"}
    assert longest_s < 11, "a call outlived its deadline"
    assert None in outcomes[before_recovery:], "the load did not go on"
    assert _process(fragile_mesh, "triton").pid != before.pid


async def test_cached_vectors_are_served_while_tritonserver_is_down(
    client: AsyncClient, fragile_mesh: MeshSettings
) -> None:
    text = _unseen("kept")
    await client.embed([text])
    await asyncio.sleep(0.2)
    with _paused(_process(fragile_mesh, "triton")):
        assert (await client.embed([text], timeout_s=2)).inputs[0].cached
        with pytest.raises(DeadlineExceeded):
            await client.embed([_unseen()], timeout_s=1)
    await _until_it_works(lambda: client.embed([_unseen()]))


async def test_embeddings_flow_while_the_cache_is_stalled(client: AsyncClient, fragile_mesh: MeshSettings) -> None:
    with _paused(_process(fragile_mesh, "redis-cache")):
        start = time.monotonic()
        answers = [await client.embed([_unseen()]) for _ in range(20)]
        took = time.monotonic() - start
    assert {answer.cache for answer in answers} == {"bypassed"}
    assert took < 20 * 0.5, "a stalled cache must not cost its timeout on every call"
    for _ in range(100):
        if (await client.embed(["back again"])).cache == "used":
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the cache was not used again")


async def test_embeddings_flow_while_the_cache_is_dead(client: AsyncClient, fragile_mesh: MeshSettings) -> None:
    _process(fragile_mesh, "redis-cache").kill()
    answer = await client.embed([_unseen()])
    assert len(answer.vectors) == 1
    for _ in range(200):
        if (await client.embed(["back again"])).cache == "used":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the restarted cache was not used")


async def test_search_without_the_reranker_says_so(
    client: AsyncClient, collection: str, fragile_mesh: MeshSettings
) -> None:
    whole = await client.search(collection, "compress files")
    assert whole.degraded == ()
    _process(fragile_mesh, "reranker").kill()
    found = await client.search(collection, "compress files", timeout_s=10)
    assert found.hits[0].document.id == "0"
    assert [one.stage for one in found.degraded] == ["rerank"]
    await _until_it_works(lambda: client.rerank("q", ["d"]))


async def test_search_without_embeddings_is_lexical_and_says_so(
    client: AsyncClient, collection: str, fragile_mesh: MeshSettings
) -> None:
    with _paused(_process(fragile_mesh, "embedding")):
        found = await client.search(collection, _unseen("gzip compresses"), rerank=False, timeout_s=10)
    assert found.hits[0].document.id == "0"
    assert [one.stage for one in found.degraded] == ["dense.text"]


async def test_search_without_the_index_fails_clearly_and_recovers(
    client: AsyncClient, collection: str, fragile_mesh: MeshSettings
) -> None:
    _process(fragile_mesh, "redis-index").kill()
    with pytest.raises(Unavailable) as raised:
        await client.search(collection, "compress files", timeout_s=5)
    assert raised.value.reason == "INDEX_UNAVAILABLE"
    await _until_it_works(lambda: client.search(collection, "compress files"))
    found = await client.search(collection, "compress files")
    assert found.hits[0].document.id == "0", "documents must survive the index's death"


async def test_overload_is_shed_with_a_retry_delay_and_admitted_calls_finish(fragile_mesh: MeshSettings) -> None:
    port = free_port(100, 200)
    process = start_embedding(fragile_mesh, port, SEARCHMESH_MAX_QUEUED_TOKENS="4096")
    try:
        async with AsyncClient(embedding=f"127.0.0.1:{port}") as client:
            await _until_it_works(lambda: client.embed([_unseen()]))
            # No budget for retries: what is shed shall be seen.
            client._unary._budget._tokens = -1000.0
            calls = [
                client.embed([_unseen(LONG)] * 1 + [_unseen(LONG) for _ in range(7)], timeout_s=60) for _ in range(40)
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            shed = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
            done = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            assert len(shed) + len(done) == len(calls), outcomes
            assert shed
            assert done
            assert all(outcome.retry_after_s > 0 for outcome in shed)
            await _until_it_works(lambda: client.embed([_unseen()]))
    finally:
        process.kill()
        process.wait()


async def test_sigterm_under_load_fails_no_accepted_call(fragile_mesh: MeshSettings) -> None:
    port = free_port(100, 200)
    process = start_embedding(fragile_mesh, port)
    try:
        async with AsyncClient(embedding=f"127.0.0.1:{port}") as client:
            await _until_it_works(lambda: client.embed([_unseen()]))
            calls = [asyncio.create_task(client.embed([_unseen(LONG) for _ in range(8)])) for _ in range(8)]
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*calls)
            assert [len(answer.vectors) for answer in answers] == [8] * 8
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()
