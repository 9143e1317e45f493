"""Rerankers on XLM-RoBERTa encoders from a published checkpoint to the answer of the service, against an independent
implementation: transformers, one sequence at a time, with windows, markers and MaxSim written out here.
"""

from __future__ import annotations

import string
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from searchmesh.client import AsyncClient, Ranking, TokenVectors
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument
from support import checkpoints_xlm as xlm
from support.client import client_of
from support.exports import serving

PAIRS, COLBERT = "jina-reranker-v2-base-multilingual", "jina-colbert-v2"
TOLERANCE = 1e-4

QUERY = "which passage is ranked by search?"
TEXTS = (
    "the passage of a document.",
    "a",
    "query, passage! document? ranked; (models) über 検 索",
    "find the query " * 5,
    "Represent the passage for search by models. " * 12,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xlm.Published]:
    folder = tmp_path_factory.mktemp("published")
    found = {COLBERT: xlm.write_colbert(folder / COLBERT), PAIRS: xlm.write_pairs(folder / PAIRS)}
    # The markers are the last two rows of the table; this tokenizer.json says so.
    tokenizer = found[COLBERT].tokenizer
    tokenizer.add_special_tokens(["[QueryMarker]", "[DocumentMarker]"])
    tokenizer.save(str(folder / COLBERT / "tokenizer.json"))
    return found


@pytest.fixture(scope="module")
def mesh(published: dict[str, xlm.Published], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    folders = {name: own.folder for name, own in published.items()}
    with serving(tmp_path_factory.mktemp("mesh"), folders, "reranker", "embedding") as settings:
        yield settings


@pytest.fixture
async def client(mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    async with client_of(mesh) as client:
        yield client


def scores(ranking: Ranking) -> list[float]:
    """In the order of the request."""
    return [result.relevance_score for result in sorted(ranking.results, key=lambda result: result.index)]


# ---- pairs


def probability(own: xlm.Published, query: list[int], document: list[int]) -> float:
    ids = [0, *query, 2, 2, *document, 2]
    assert len(ids) <= xlm.LENGTH
    with torch.inference_mode():
        return float(torch.sigmoid(own.model(input_ids=torch.tensor([ids])).logits.double()))


def windowed(own: xlm.Published, query: list[int], document: list[int]) -> float:
    """The best of overlapping windows; the last one is the document's end."""
    length = xlm.LENGTH - (len(query) + 2) - 2
    overlap, start, found = min(80, length // 4), 0, []
    while start < len(document):
        end = start + length
        found.append(document[-length:] if end >= len(document) else document[start:end])
        start += length - overlap
    return max(probability(own, query, window) for window in found)


def plain(own: xlm.Published, text: str) -> list[int]:
    return list(own.tokenizer.encode(text, add_special_tokens=False).ids)


async def test_pairs_have_the_tokens_of_the_published_tokenizer(published: dict[str, xlm.Published]) -> None:
    """What the reference puts around both sides is what the tokenizer itself does."""
    own = published[PAIRS]
    whole = own.tokenizer.encode(QUERY, TEXTS[0]).ids
    assert whole == [0, *plain(own, QUERY), 2, 2, *plain(own, TEXTS[0]), 2]


async def test_pairs_and_windows_of_long_documents(client: AsyncClient, published: dict[str, xlm.Published]) -> None:
    own = published[PAIRS]
    ranking = await client.rerank(QUERY, TEXTS, model=PAIRS)
    query = plain(own, QUERY)
    expected = [windowed(own, query, plain(own, text)) for text in TEXTS]
    assert np.abs(np.array(scores(ranking)) - expected).max() <= TOLERANCE
    assert np.ptp(expected) > 10 * TOLERANCE
    tokens = {result.index: (result.input.tokens, result.input.truncated) for result in ranking.results}
    assert tokens == {place: (len(plain(own, text)), False) for place, text in enumerate(TEXTS)}
    assert tokens[4][0] > xlm.LENGTH


async def test_a_long_query_is_cut_at_its_end(client: AsyncClient, published: dict[str, xlm.Published]) -> None:
    own, query = published[PAIRS], "find the query " * 30
    ranking = await client.rerank(query, TEXTS, model=PAIRS)
    kept = plain(own, query)[: ranking.query.tokens]
    assert ranking.query.truncated
    assert len(kept) == xlm.LENGTH // 2 - 2
    expected = [windowed(own, kept, plain(own, text)) for text in TEXTS]
    assert np.abs(np.array(scores(ranking)) - expected).max() <= TOLERANCE


async def test_many_pairs_of_mixed_length_share_batches(
    client: AsyncClient, published: dict[str, xlm.Published]
) -> None:
    own, query = published[PAIRS], plain(published[PAIRS], QUERY)
    documents = [f"{'passage ' * (1 + number % 23)}by {'a' * (number % 7)}" for number in range(60)]
    found = scores(await client.rerank(QUERY, documents, model=PAIRS))
    expected = [windowed(own, query, plain(own, document)) for document in documents]
    assert np.abs(np.array(found) - expected).max() <= TOLERANCE


# ---- late interaction


def token_vectors(own: xlm.Published, text: str, side: str) -> NDArray[np.float32]:
    tokenizer = own.tokenizer
    ids = tokenizer.encode(text).ids
    if side == "query":
        ids = [*ids[: 31 - 1], 2] if len(ids) > 31 else ids
        ids = [ids[0], tokenizer.token_to_id("[QueryMarker]"), *ids[1:]]
        ids += [tokenizer.token_to_id("<mask>")] * (32 - len(ids))
        kept = [True] * 32
    else:
        ids = [ids[0], tokenizer.token_to_id("[DocumentMarker]"), *ids[1:]]
        if len(ids) > xlm.LENGTH:
            ids = [*ids[: xlm.LENGTH - 1], 2]
        skipped = {tokenizer.encode(mark, add_special_tokens=False).ids[0] for mark in string.punctuation}
        kept = [token not in skipped for token in ids]
    with torch.inference_mode():
        states = own.model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        vectors = functional.normalize(states.last_hidden_state[0] @ own.heads["linear.weight"].T, dim=-1)
    found: NDArray[np.float32] = vectors.numpy()[kept]
    return found


def maxsim(query: NDArray[np.floating], document: NDArray[np.floating]) -> float:
    return float((query @ document.T).max(axis=1).sum())


async def test_late_interaction_on_the_fly(client: AsyncClient, published: dict[str, xlm.Published]) -> None:
    own = published[COLBERT]
    for query in (QUERY, "find the query " * 20, "a"):
        ranking = await client.rerank(query, TEXTS, model=COLBERT, return_document_vectors=True)
        asked, vectors = token_vectors(own, query, "query"), [token_vectors(own, text, "passage") for text in TEXTS]
        expected = [maxsim(asked, rows) for rows in vectors]
        assert np.abs(np.array(scores(ranking)) - expected).max() <= TOLERANCE
        for result in ranking.results:
            assert result.vectors is not None
            assert np.abs(result.vectors - vectors[result.index]).max() <= TOLERANCE
        assert ranking.query.tokens == 32


@pytest.mark.parametrize("dtype", ["float32", "int8", "binary"])
async def test_late_interaction_with_vectors_of_the_embedding_service(
    client: AsyncClient, published: dict[str, xlm.Published], dtype: str
) -> None:
    own = published[COLBERT]
    embeddings = await client.embed(
        TEXTS,
        model=COLBERT,
        task="retrieval.passage",
        multi_vector=True,
        truncation="end",
        dtype=dtype,  # type: ignore[arg-type]
    )
    found = scores(await client.rerank(QUERY, model=COLBERT, document_vectors=TokenVectors.of(embeddings)))
    asked, vectors = token_vectors(own, QUERY, "query"), [token_vectors(own, text, "passage") for text in TEXTS]
    if dtype == "binary":
        vectors = [np.where(rows > 0, 1, -1) / np.sqrt(rows.shape[1]) for rows in vectors]
    expected = [maxsim(asked, rows) for rows in vectors]
    # int8 rounds to 1/127 of the largest component; the score is a sum over 32 vectors.
    assert np.abs(np.array(found) - expected).max() <= (0.1 if dtype == "int8" else TOLERANCE)


async def test_what_a_reranker_of_pairs_has_not_is_refused(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank(QUERY, TEXTS, model=PAIRS, instruction="be fair")
    assert raised.value.field == "instruction"
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank(QUERY, ["a", *TEXTS[4:] * 3], model=COLBERT, truncation="refuse")
    assert raised.value.field == "documents[1]"
