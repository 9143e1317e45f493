"""The blocking client: the same results and errors as the asynchronous one, from a plain thread."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from searchmesh.client import AsyncClient, Client
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from support.fake_mesh import Served


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.target, served.target, served.target, timeout_s=5) as client:
        yield client


def test_it_has_every_method_of_the_asynchronous_client_with_its_signature() -> None:
    def methods(kind: type) -> dict[str, inspect.Signature]:
        return {name: inspect.signature(value) for name, value in vars(kind).items() if not name.startswith("_")}

    ours, theirs = methods(Client), methods(AsyncClient)
    assert ours.keys() == theirs.keys()
    for name in theirs.keys() - {"close"}:
        assert ours[name] == theirs[name]


def test_calls_return_and_raise_as_the_asynchronous_ones(client: Client) -> None:
    assert client.embed(["a b"]).tokens == 2
    assert client.rerank("fish", ["bird", "fish"]).results[0].index == 1
    with pytest.raises(NotFound):
        client.get_collection("nothing")


def test_it_may_be_used_by_several_threads(client: Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: client.embed(["x"] * n).tokens, range(1, 30))) == list(range(1, 30))


def test_iterators_are_plain_and_the_source_is_read_in_the_callers_thread(client: Client) -> None:
    client.create_collection("docs")
    readers = set()

    def source() -> Iterator[dict[str, str]]:
        for number in range(200):
            readers.add(threading.get_ident())
            yield {"id": str(number), "text": "text"}

    progress = list(client.index("docs", source(), batch_size=16))
    assert progress[-1].indexed == 200
    assert readers == {threading.get_ident()}


def test_batches_are_embedded_in_order(client: Client) -> None:
    embedded = client.embed_stream(["x"] * n for n in (1, 2, 3))
    assert [batch.embeddings.tokens for batch in embedded] == [1, 2, 3]


def test_a_source_that_fails_raises_its_own_error(client: Client) -> None:
    client.create_collection("docs")

    def source() -> Iterator[dict[str, str]]:
        yield {"id": "1", "text": "text"}
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        list(client.index("docs", source()))


def test_errors_of_a_stream_are_raised(client: Client) -> None:
    with pytest.raises(NotFound):
        list(client.index("nothing", [{"id": "1", "text": "text"}]))
    with pytest.raises(InvalidArgument):
        list(client.embed_stream([["text"]], dtype="float64"))  # type: ignore[arg-type]


def test_a_stream_may_be_left_early(client: Client, served: Served) -> None:
    client.create_collection("docs")
    documents = ({"id": str(number), "text": "text"} for number in range(100_000))
    for progress in client.index("docs", documents, batch_size=4):
        assert progress.acknowledged <= 100
        break
    assert client.embed(["still usable"]).tokens == 2


def test_a_closed_client_says_so(client: Client) -> None:
    client.close()
    client.close()
    with pytest.raises(FailedPrecondition, match="closed"):
        client.embed(["text"])
    with pytest.raises(FailedPrecondition, match="closed"):
        list(client.embed_stream([["text"]]))
