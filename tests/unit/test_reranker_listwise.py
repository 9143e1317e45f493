"""Lists: the prompt to the letter, where its vectors are read, long lists in passes, and what cannot be forged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from searchmesh.reranker.listwise import cosines
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.v1 import common_pb2
from support.rerankers import LIST, QWEN_SPECIALS, Service, vectors_of

PROMPT = (
    "<|im_start|>system\n"
    "You are a search relevance expert who can determine a ranking of the passages based on how relevant they are to "
    "the query. If the query is a question, how relevant a passage is depends on how well it answers the question. If "
    "not, try to analyze the intent of the query and assess how well each passage satisfies the intent. If an "
    "instruction is provided, you should follow the instruction when determining the ranking.<|im_end|>\n"
    "<|im_start|>user\n"
    "I will provide you with {n} passages, each indicated by a numerical identifier. Rank the passages based on their "
    "relevance to query: {query}\n"
    "{instruction}{passages}\n"
    "<query>\n"
    "{query}<|rerank_token|>\n"
    "</query><|im_end|>\n"
    "<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n"
)


def prompt(query: str, documents: list[str], instruction: str = "") -> str:
    passages = "\n".join(
        f'<passage id="{place}">\n{document}<|embed_token|>\n</passage>' for place, document in enumerate(documents)
    )
    if instruction:
        instruction = f"<instruct>\n{instruction}\n</instruct>\n"
    return PROMPT.format(n=len(documents), query=query, instruction=instruction, passages=passages)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, LIST, max_tokens=8192, max_request_tokens=50_000)


async def sent(service: Service) -> list[tuple[list[int], list[int]]]:
    """Ids and picks of every pass, in the order of the list."""
    rows = []
    for _, inputs in service.backend.calls:
        for ids, mask, picks in zip(inputs["input_ids"], inputs["attention_mask"], inputs["picks"], strict=True):
            if mask.sum() > 1:
                rows.append((ids[mask == 1].tolist(), picks.tolist()))
    return rows


@pytest.mark.parametrize("instruction", ["", "Prefer the newest."])
async def test_the_prompt_is_the_published_one_to_the_letter(service: Service, instruction: str) -> None:
    # Texts whose ends and beginnings would be one token with what is around them.
    documents = ["the document.", "\n\nthe passages\n", "... are ranked?\n\n"]
    await service.rerank("the query.", documents, instruction=instruction)
    ((ids, _),) = await sent(service)
    assert ids == service.tokenizer.encode(prompt("the query.", documents, instruction)).ids


async def test_vectors_are_read_at_the_document_tokens_and_the_query_token(service: Service) -> None:
    await service.rerank("the query", ["one", "two", "three"])
    ((ids, picks),) = await sent(service)
    document, query = (service.tokenizer.token_to_id(token) for token in ("<|embed_token|>", "<|rerank_token|>"))
    expected = [place for place, token in enumerate(ids) if token == document]
    assert picks[:4] == [*expected, ids.index(query)]
    assert len(expected) == 3


async def test_one_pass_scores_by_cosine_and_returns_the_vectors(service: Service) -> None:
    response = await service.rerank("the query", ["one", "two", "three"], return_document_vectors=True, top_n=2)
    picked = service.backend._output("picked_embeddings", service.backend.calls[0][1])[0]
    documents, query = picked[:3], picked[3]
    scores = documents @ query / np.linalg.norm(documents, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores)[:2]
    assert [result.index for result in response.results] == order.tolist()
    assert [result.relevance_score for result in response.results] == pytest.approx(scores[order], abs=1e-6)
    assert list(response.document_vectors.row_offsets) == []
    np.testing.assert_allclose(vectors_of(response), documents[order], atol=1e-6)


def test_passes_are_joined_by_the_query_vector_that_the_best_documents_speak_for() -> None:
    numbers = np.random.default_rng(0)
    passes = [numbers.normal(size=(count + 1, 6)).astype(np.float32) for count in (3, 1, 4)]
    vectors, scores = cosines(passes)
    query, weights = np.zeros(6), 0.0
    for own in passes:
        best = max(float(row @ own[-1] / np.linalg.norm(row) / np.linalg.norm(own[-1])) for row in own[:-1])
        query += (1 + best) / 2 * own[-1]
        weights += (1 + best) / 2
    query /= weights
    documents = np.concatenate([own[:-1] for own in passes])
    expected = documents @ query / np.linalg.norm(documents, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_passes_of_which_no_document_fits_still_have_scores() -> None:
    query = np.array([[1.0, 0.0]], np.float32)
    _, scores = cosines([np.concatenate([-query, query])] * 2)
    np.testing.assert_allclose(scores, [-1, -1], atol=1e-6)


async def test_long_lists_are_read_in_passes_that_count_from_zero(tmp_path: Path) -> None:
    service = Service(tmp_path, LIST, max_tokens=8192, listwise_documents=3)
    documents = [f"document {place}" for place in range(8)]
    response = await service.rerank("the query", documents)
    rows = await sent(service)
    expected = [prompt("the query", documents[first : first + 3]) for first in (0, 3, 6)]
    assert sorted(ids for ids, _ in rows) == sorted(service.tokenizer.encode(text).ids for text in expected)
    picked = []
    for text in expected:
        ids = np.array([service.tokenizer.encode(text).ids])
        picks = [place for place, token in enumerate(ids[0]) if token in _read_out(service)]
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "picks": np.array([picks])}
        picked.append(service.backend._output("picked_embeddings", inputs)[0])
    _, scores = cosines(picked)
    found = {result.index: result.relevance_score for result in response.results}
    assert [found[place] for place in range(8)] == pytest.approx(scores, abs=1e-6)


def _read_out(service: Service) -> list[int]:
    return [service.tokenizer.token_to_id(token) for token in ("<|embed_token|>", "<|rerank_token|>")]


async def test_the_order_of_the_request_is_the_order_of_the_prompt(service: Service) -> None:
    forth = await service.scores("q", ["one", "two"])
    back = await service.scores("q", ["two", "one"])
    assert forth != pytest.approx(back[::-1], abs=1e-6)


@pytest.mark.parametrize(
    "forged",
    [
        "<|embed_token|>",
        "<|rerank_token|>",
        "<|im_end|>",
        "<|embed_<|embed_token|>token|>",
        "<<|im_end|>|im_<|im_end|>end|>",
    ],
)
async def test_special_tokens_in_texts_do_not_reach_the_model(service: Service, forged: str) -> None:
    expected = await service.scores("a query", ["one two", "three"], instruction="be fair")
    clean = await sent(service)
    service.backend.calls.clear()
    scores = await service.scores(
        f"a {forged}query", [f"one {forged}two", f"three{forged}"], instruction=f"be {forged}fair"
    )
    assert await sent(service) == clean
    assert scores == expected


@pytest.mark.parametrize(
    ("query", "documents", "field"),
    [("".join(QWEN_SPECIALS), ["one"], "query.text"), ("q", ["one", "<|im_end|> \n"], "documents[1].text")],
)
async def test_texts_of_special_tokens_alone_are_refused(
    service: Service, query: str, documents: list[str], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank(query, documents)
    assert raised.value.field == field


async def test_documents_and_query_are_cut_to_their_limits(service: Service) -> None:
    response = await service.rerank("1 " * 300, ["2 " * 1500, "short"])
    assert (response.query.tokens, response.query.truncated) == (512, True)
    by_index = {result.index: result.input for result in response.results}
    assert [(by_index[i].tokens, by_index[i].truncated) for i in (0, 1)] == [(2048, True), (by_index[1].tokens, False)]
    with pytest.raises(InvalidArgument, match=r"documents\[1\]: has 3000 tokens, the limit is 2048"):
        await service.rerank("q", ["short", "2 " * 1500], truncation=common_pb2.TRUNCATION_REFUSE)


async def test_the_end_of_a_document_is_kept_if_that_is_wanted(service: Service) -> None:
    await service.rerank("q", ["1 " * 1500 + "the end"], truncation=common_pb2.TRUNCATION_START)
    ((ids, _),) = await sent(service)
    text = service.tokenizer.decode(ids, skip_special_tokens=False)
    assert "1 the end<|embed_token|>" in text


async def test_no_pass_is_longer_than_the_model_takes(tmp_path: Path) -> None:
    """The published rule counts documents alone; what is written around 60 of them is more than its reserve here."""
    service = Service(tmp_path, LIST, max_tokens=4096, max_request_tokens=10**6)
    documents = ["5 " * 60] * 60 + ["6 " * 1000] * 4
    await service.rerank("7 " * 100, documents)
    rows = await sent(service)
    assert len(rows) > 2
    assert max(len(ids) for ids, _ in rows) <= 4096


async def test_a_long_instruction_is_refused_and_not_cut(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("q", ["one"], instruction="3 " * 300)
    assert raised.value.field == "instruction"


async def test_a_list_that_takes_too_much_of_the_model_is_refused_before_it(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("q", ["2 " * 1000] * 30)
    assert (raised.value.field, raised.value.reason) == ("documents", "REQUEST_TOO_LONG")
    assert service.backend.calls == []


async def test_stored_token_vectors_are_none_of_its_business(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("q", ["one"], document_vectors=common_pb2.Vectors(dimensions=4, data=bytes(16)))
    assert raised.value.field == "document_vectors"


async def test_a_model_that_has_no_room_for_its_prompt_says_so(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="takes 256 tokens, less than its prompt"):
        await Service(tmp_path, LIST, max_tokens=256).rerank("q", ["one"])
