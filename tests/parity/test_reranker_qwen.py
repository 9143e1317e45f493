"""Rerankers of the Qwen families from a published checkpoint to the answer of the service, against an independent
implementation: transformers, one sequence at a time, with the prompts and heads written out here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from io import BytesIO
from typing import TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from tokenizers import Tokenizer
from torch.nn import functional
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from searchmesh.client import AsyncClient, Image, Ranking, TokenVectors
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument
from support import checkpoints_qwen as qwen
from support import qwen_reference as reference
from support.client import client_of
from support.exports import serving
from support.pictures import encoded, picture

LIST, IMAGES, V4 = "jina-reranker-v3", "jina-reranker-m0", "jina-embeddings-v4"
TOLERANCE = 1e-4

Content: TypeAlias = str | Image

QUERY = "which passage is about a search?"
TEXTS = (
    "the passage.",
    "a",
    "\nthe query and the passage of a document are ranked by the search. " * 4,
    "über 検索 🤔\n",
    "def rank(documents):\n    return sorted(documents)",
)
PICTURES = tuple(
    Image(encoded(picture(*size, seed=seed), "PNG"))
    for seed, size in enumerate(((120, 90), (56, 200), (300, 40), (30, 30)))
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, qwen.Published]:
    folder = tmp_path_factory.mktemp("published")
    return {
        # Both services serve the first, which is their default model.
        V4: qwen.write_qwen2_5_vl(folder / V4, max_position_embeddings=512),
        LIST: qwen.write_qwen3(folder / LIST, max_position_embeddings=8192),
        IMAGES: qwen.write_qwen2_vl(folder / IMAGES, max_position_embeddings=512),
    }


@pytest.fixture(scope="module")
def mesh(published: dict[str, qwen.Published], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    folders = {name: own.folder for name, own in published.items()}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SEARCHMESH_LISTWISE_DOCUMENTS", "7")
        with serving(tmp_path_factory.mktemp("mesh"), folders, "reranker", "embedding") as settings:
            yield settings


@pytest.fixture
async def client(mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    async with client_of(mesh) as client:
        yield client


def scores(ranking: Ranking) -> list[float]:
    """In the order of the request."""
    return [result.relevance_score for result in sorted(ranking.results, key=lambda result: result.index)]


def ids(own: qwen.Published, text: str) -> list[int]:
    tokenizer: Tokenizer = Tokenizer.from_file(str(own.folder / "tokenizer.json"))
    return list(tokenizer.encode(text).ids)


# ---- lists


def listed(own: qwen.Published, query: str, documents: Sequence[str], instruction: str = "") -> NDArray[np.float32]:
    """What the projector makes of every document and, last, of the query."""
    passages = "\n".join(
        f'<passage id="{place}">\n{document}<|embed_token|>\n</passage>' for place, document in enumerate(documents)
    )
    told = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
    text = (
        "<|im_start|>system\nYou are a search relevance expert who can determine a ranking of the passages based on how"
        " relevant they are to the query. If the query is a question, how relevant a passage is depends on how well it"
        " answers the question. If not, try to analyze the intent of the query and assess how well each passage"
        " satisfies the intent. If an instruction is provided, you should follow the instruction when determining the"
        f" ranking.<|im_end|>\n<|im_start|>user\nI will provide you with {len(documents)} passages, each indicated by a"
        f" numerical identifier. Rank the passages based on their relevance to query: {query}\n{told}{passages}\n"
        f"<query>\n{query}<|rerank_token|>\n</query><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    tokens = ids(own, text)
    read = [
        place
        for place, token in enumerate(tokens)
        if token in (*ids(own, "<|embed_token|>"), *ids(own, "<|rerank_token|>"))
    ]
    states = reference.states(own, reference.Row(tokens))[read]
    hidden = functional.relu(states @ own.heads["projector.0.weight"].T)
    vectors: NDArray[np.float32] = (hidden @ own.heads["projector.2.weight"].T).numpy()
    assert len(vectors) == len(documents) + 1
    return vectors


def cosines(query: NDArray[np.floating], documents: NDArray[np.floating]) -> NDArray[np.floating]:
    lengths = np.linalg.norm(query) * np.linalg.norm(documents, axis=1)
    return (documents @ query) / lengths  # type: ignore[no-any-return]


@pytest.mark.parametrize("instruction", ["", "Prefer what is short."])
async def test_a_list_is_scored_by_cosine(
    client: AsyncClient, published: dict[str, qwen.Published], instruction: str
) -> None:
    ranking = await client.rerank(QUERY, TEXTS, model=LIST, instruction=instruction, return_document_vectors=True)
    vectors = listed(published[LIST], QUERY, TEXTS, instruction)
    assert np.abs(scores(ranking) - cosines(vectors[-1], vectors[:-1])).max() <= TOLERANCE
    for result in ranking.results:
        own = vectors[result.index]
        assert result.vectors is not None
        assert np.abs(result.vectors[0] - own / np.linalg.norm(own)).max() <= TOLERANCE
    assert [result.relevance_score for result in ranking.results] == sorted(scores(ranking), reverse=True)


@pytest.mark.parametrize("count", [1, 7, 8, 20])
async def test_long_lists_are_joined_by_the_weighted_query(
    client: AsyncClient, published: dict[str, qwen.Published], count: int
) -> None:
    """The service reads seven documents at a time."""
    documents = [f"{TEXTS[number % len(TEXTS)]} {number}" for number in range(count)]
    passes = [listed(published[LIST], QUERY, documents[first : first + 7]) for first in range(0, count, 7)]
    weights = [max((1 + cosines(own[-1], own[:-1])) / 2) for own in passes]
    query = np.average([own[-1] for own in passes], axis=0, weights=weights)
    expected = cosines(query, np.concatenate([own[:-1] for own in passes]))
    found = scores(await client.rerank(QUERY, documents, model=LIST))
    assert np.abs(found - expected).max() <= TOLERANCE


# ---- pairs with images


def processed(own: qwen.Published, image: Image) -> reference.Picture:
    """The image as transformers' own processor makes it, by the checkpoint's file."""
    processor = Qwen2VLImageProcessorPil.from_pretrained(own.folder)
    made = processor(Pillow.open(BytesIO(image.data)), return_tensors="pt")
    _, rows, columns = made["image_grid_thw"][0].tolist()
    return reference.Picture(made["pixel_values"], rows // 2, columns // 2)


def pair(own: qwen.Published, query: Content, document: Content) -> float:
    """The probability that the document is relevant."""
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    document_text, query_text = (side if isinstance(side, str) else place for side in (document, query))
    text = f"**Document**:\n{document_text}\n**Query**:\n{query_text}"
    pictures = iter([processed(own, side) for side in (document, query) if isinstance(side, Image)])
    pad = own.model.config.image_token_id
    parts = [next(pictures) if token == pad else token for token in ids(own, text)]
    state = reference.states(own, reference.row_with(own, [*parts, 100]))[-1]
    hidden = functional.relu(functional.linear(state, own.heads["score.0.weight"], own.heads["score.0.bias"]))
    logit = functional.linear(hidden, own.heads["score.2.weight"], own.heads["score.2.bias"])
    return float(torch.sigmoid(logit.double() - 2.65))


@pytest.mark.parametrize("query", [QUERY, PICTURES[0]], ids=["text", "image"])
async def test_texts_and_images_are_scored_on_one_scale(
    client: AsyncClient, published: dict[str, qwen.Published], query: Content
) -> None:
    documents = [*TEXTS, *PICTURES, TEXTS[0], PICTURES[0]]
    ranking = await client.rerank(query, documents, model=IMAGES)
    expected = [pair(published[IMAGES], query, document) for document in documents]
    assert np.abs(np.array(scores(ranking)) - expected).max() <= TOLERANCE
    assert np.ptp(expected) > 10 * TOLERANCE
    alone = [scores(await client.rerank(query, [document], model=IMAGES))[0] for document in documents[4:6]]
    assert alone == pytest.approx(expected[4:6], abs=TOLERANCE)


async def test_tiles_count_as_tokens_and_the_longest_pair_is_scored(
    client: AsyncClient, published: dict[str, qwen.Published]
) -> None:
    own = published[IMAGES]
    ranking = await client.rerank(QUERY, [PICTURES[0], "7" * 1000], model=IMAGES)
    of = {result.index: result for result in ranking.results}
    assert of[0].input.tokens == processed(own, PICTURES[0]).tokens
    assert of[1].input.truncated
    assert 400 < of[1].input.tokens < 512
    kept = pair(own, QUERY, "7" * of[1].input.tokens)
    assert of[1].relevance_score == pytest.approx(kept, abs=TOLERANCE)


async def test_images_that_a_model_does_not_read_are_refused(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank(QUERY, ["a", PICTURES[0]], model=LIST)
    assert raised.value.field == "documents[1].image"


# ---- late interaction over texts and images


def token_vectors(own: qwen.Published, content: Content, prefix: str) -> NDArray[np.float32]:
    if isinstance(content, str):
        row = reference.Row(ids(own, prefix + content), task="retrieval")
    else:
        before, after = (
            ids(own, part)
            for part in (
                "<|im_start|>user\n<|vision_start|>",
                "<|vision_end|>Describe the image.<|im_end|>\n",
            )
        )
        row = reference.row_with(own, [*before, processed(own, content), *after], "retrieval")
    vectors: NDArray[np.float32] = reference.token_vectors(own, row).numpy()
    return vectors


def maxsim(query: NDArray[np.floating], document: NDArray[np.floating]) -> float:
    return float((query @ document.T).max(axis=1).sum())


@pytest.mark.parametrize("query", [QUERY, PICTURES[1]], ids=["text", "image"])
async def test_token_vectors_of_texts_and_images_interact(
    client: AsyncClient, published: dict[str, qwen.Published], query: Content
) -> None:
    own, documents = published[V4], [TEXTS[0], PICTURES[0], TEXTS[2], PICTURES[2]]
    asked = token_vectors(own, query, "Query: ")
    expected = [maxsim(asked, token_vectors(own, document, "Passage: ")) for document in documents]
    found = scores(await client.rerank(query, documents, model=V4))
    # A sum over every token of the query.
    assert np.abs(np.array(found) - expected).max() <= TOLERANCE


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", TOLERANCE), ("int8", 0.3), ("binary", None)])
async def test_vectors_of_the_embedding_service_are_scored_later(
    client: AsyncClient, published: dict[str, qwen.Published], dtype: str, tolerance: float | None
) -> None:
    own, documents = published[V4], [TEXTS[0], TEXTS[2], PICTURES[0]]
    embeddings = await client.embed(
        documents,
        model=V4,
        task="retrieval.passage",
        multi_vector=True,
        dtype=dtype,  # type: ignore[arg-type]
    )
    found = scores(await client.rerank(QUERY, model=V4, document_vectors=TokenVectors.of(embeddings)))
    asked = token_vectors(own, QUERY, "Query: ")
    vectors = [token_vectors(own, document, "Passage: ") for document in documents]
    if tolerance is None:
        vectors = [np.where(rows > 0, 1, -1) / np.sqrt(rows.shape[1]) for rows in vectors]
    expected = [maxsim(asked, rows) for rows in vectors]
    assert np.abs(np.array(found) - expected).max() <= (tolerance or TOLERANCE)
