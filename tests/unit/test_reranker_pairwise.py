"""Pairs of texts: what the model is sent, windows of long documents, cuts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import common_pb2, reranker_pb2
from support.rerankers import PAIRS, WORDS, Service

START, END = 0, 2


def text(*numbers: int) -> str:
    return " ".join(WORDS[number] for number in numbers)


def ids(*numbers: int) -> list[int]:
    return [4 + number for number in numbers]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """64 tokens a pair; the query may have 30 of its own."""
    return Service(
        tmp_path, PAIRS, max_tokens=64, max_inputs=8, max_text_bytes=2000, max_request_text_bytes=4000,
        max_document_tokens=200, max_request_tokens=2000,
    )  # fmt: skip


async def test_a_pair_has_the_models_own_tokens_around_and_between(service: Service) -> None:
    await service.rerank(text(1, 2), [text(3, 4, 5)])
    assert service.sequences() == [[START, *ids(1, 2), END, END, *ids(3, 4, 5), END]]


async def test_the_score_is_the_probability_of_the_logit(service: Service) -> None:
    (score,) = await service.scores(text(1), [text(2)])
    _, inputs = service.backend.calls[0]
    (logit,) = service.backend._output("logit", inputs)[0]
    assert score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


async def test_a_long_document_is_scored_by_its_best_window(service: Service) -> None:
    query, words = text(1, 2), list(range(10, 150))
    # 58 tokens of document beside a query of two; windows overlap by a quarter of that.
    windows = [words[0:58], words[44:102], words[-58:]]
    (whole,) = await service.scores(query, [text(*words)])
    sent = service.sequences()
    assert sorted(sent) == sorted([START, *ids(1, 2), END, END, *ids(*window), END] for window in windows)
    assert whole == max(await service.scores(query, [text(*window) for window in windows]))


async def test_tokens_are_those_of_the_input_alone_each_once(service: Service) -> None:
    response = await service.rerank(text(1, 2), [text(*range(10, 150)), text(5)])
    by_index = {result.index: result.input for result in response.results}
    assert [(by_index[i].tokens, by_index[i].truncated) for i in (0, 1)] == [(140, False), (1, False)]
    assert (response.query.tokens, response.query.truncated) == (2, False)
    assert response.usage.tokens == 143


async def test_a_query_that_is_too_long_loses_its_end_and_the_response_says_so(service: Service) -> None:
    query = list(range(100, 140))
    response = await service.rerank(text(*query), [text(1, 2, 3)])
    assert service.sequences() == [[START, *ids(*query[:30]), END, END, *ids(1, 2, 3), END]]
    assert (response.query.tokens, response.query.truncated) == (30, True)


@pytest.mark.parametrize(
    ("truncation", "kept"), [(common_pb2.TRUNCATION_UNSPECIFIED, slice(0, 200)),
                             (common_pb2.TRUNCATION_END, slice(0, 200)),
                             (common_pb2.TRUNCATION_START, slice(-200, None))],
)  # fmt: skip
async def test_a_document_beyond_the_limit_of_windows_is_cut(service: Service, truncation: int, kept: slice) -> None:
    words = list(range(250))
    response = await service.rerank(text(299), [text(*words)], truncation=truncation)
    sent = {token for row in service.sequences() for token in row}
    assert sent == {START, END, 4 + 299, *ids(*words[kept])}
    assert (response.results[0].input.tokens, response.results[0].input.truncated) == (200, True)


async def test_a_document_beyond_the_limit_of_windows_is_refused_if_it_may_not_be_cut(service: Service) -> None:
    with pytest.raises(InvalidArgument, match=r"documents\[1\]: has 201 tokens, the limit is 200"):
        await service.rerank("w1", ["w2", text(*range(201))], truncation=common_pb2.TRUNCATION_REFUSE)
    assert service.backend.shapes == []
    await service.rerank("w1", [text(*range(200))], truncation=common_pb2.TRUNCATION_REFUSE)


async def test_a_request_that_takes_too_much_of_the_model_is_refused_before_it(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank(text(*range(29)), [text(*range(150))] * 6)
    assert (raised.value.field, raised.value.reason) == ("documents", "REQUEST_TOO_LONG")
    assert service.backend.shapes == []


IMAGE = common_pb2.Content(image=common_pb2.Image(data=b"\x89PNG"))
W1 = common_pb2.Content(text="w1")
VECTORS = common_pb2.Vectors(dimensions=4, data=bytes(16), row_offsets=[0, 1])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query": common_pb2.Content(), "documents": [W1]}, "query"),
        ({"query": common_pb2.Content(text=" \n"), "documents": [W1]}, "query.text"),
        ({"query": W1}, "documents"),
        ({"query": W1, "documents": [W1] * 9}, "documents"),
        ({"query": W1, "documents": [W1, common_pb2.Content(text="")]}, "documents[1].text"),
        ({"query": W1, "documents": [common_pb2.Content(text="x" * 2001)]}, "documents[0].text"),
        ({"query": W1, "documents": [common_pb2.Content(text="x" * 1500)] * 3}, "documents"),
        ({"query": IMAGE, "documents": [W1]}, "query.image"),
        ({"query": W1, "documents": [W1, IMAGE]}, "documents[1].image"),
        ({"query": W1, "documents": [W1], "instruction": "be fair"}, "instruction"),
        ({"query": W1, "documents": [W1], "document_vectors": VECTORS}, "document_vectors"),
        ({"query": W1, "documents": [W1], "return_document_vectors": True}, "return_document_vectors"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_field_without_model_work(
    service: Service, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.servicer.Rerank(reranker_pb2.RerankRequest(**fields), Call(Deadline()))
    assert raised.value.field == field
    assert service.backend.shapes == []


async def test_results_are_the_best_ones_with_documents_if_wanted(service: Service) -> None:
    documents = [text(number, number + 1) for number in range(6)]
    scores = await service.scores("w1", documents)
    response = await service.rerank("w1", documents, top_n=2, return_documents=True)
    best = sorted(range(6), key=lambda index: -scores[index])[:2]
    assert [(result.index, result.document.text) for result in response.results] == [(i, documents[i]) for i in best]
    assert not (await service.rerank("w1", documents)).results[0].HasField("document")


async def test_equal_documents_keep_their_order(service: Service) -> None:
    response = await service.rerank("w1", ["w2", "w3", "w2", "w2"])
    assert [result.index for result in response.results if result.index != 1] == [0, 2, 3]


async def test_rows_of_one_padded_length_share_a_batch(service: Service) -> None:
    await service.rerank("w1", [text(*range(8))] * 4 + [text(*range(20))] * 4)
    assert sorted(service.backend.shapes) == [(4, 13), (4, 25)]


async def test_every_stage_is_timed(service: Service) -> None:
    response = await service.rerank("w1", ["w2"])
    assert [timing.stage for timing in response.timings] == ["tokenize", "queue", "infer"]
