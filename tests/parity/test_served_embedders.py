"""Embedding models from a published checkpoint to the answer of the service, against an independent implementation.

Each checkpoint is exported by the command that a user runs and served by tritonserver; what comes back over gRPC is
compared with transformers, which is given one input at a time.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import AsyncIterator, Iterator, Sequence
from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from tokenizers import Tokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from searchmesh.catalog import load_card
from searchmesh.client import AsyncClient, Embeddings, Image
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument
from support import checkpoints_qwen as qwen
from support import checkpoints_xlm as xlm
from support import eva_reference
from support import qwen_reference as reference
from support.client import client_of
from support.exports import serving
from support.pictures import encoded, picture

CODE, V4 = "jina-code-embeddings-0.5b", "jina-embeddings-v4"
V3, COLBERT, CLIP = "jina-embeddings-v3", "jina-colbert-v2", "jina-clip-v2"
TEXTS = ("a", "the query and the passage", "def rank(documents):\n    return sorted(documents)\n", "über 検索 🤔")
LIMIT = 1e-5


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, qwen.Published]:
    folder = tmp_path_factory.mktemp("published")
    return {
        V4: qwen.write_qwen2_5_vl(folder / V4),
        CODE: qwen.write_qwen2(folder / CODE, eos=True),
    }


@pytest.fixture(scope="module")
def published_xlm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xlm.Published]:
    folder = tmp_path_factory.mktemp("xlm")
    return {
        V3: xlm.write_v3(folder / V3),
        COLBERT: xlm.write_colbert(folder / COLBERT),
        CLIP: xlm.write_clip(folder / CLIP),
    }


@pytest.fixture(scope="module")
def mesh(
    published: dict[str, qwen.Published],
    published_xlm: dict[str, xlm.Published],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MeshSettings]:
    folders = {name: own.folder for name, own in (published | published_xlm).items()}
    with serving(tmp_path_factory.mktemp("mesh"), folders, "embedding") as settings:
        yield settings


@pytest.fixture
async def client(mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    async with client_of(mesh) as client:
        yield client


def cosine_errors(ours: NDArray[np.floating], theirs: Sequence[torch.Tensor]) -> NDArray[np.float64]:
    a, b = ours.astype(np.float64), torch.stack(list(theirs)).double().numpy()
    assert a.shape == b.shape
    return 1 - (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def ids(own: qwen.Published, text: str) -> list[int]:
    tokenizer: Tokenizer = Tokenizer.from_file(str(own.folder / "tokenizer.json"))
    return list(tokenizer.encode(text).ids)


async def embed(client: AsyncClient, inputs: Sequence[str | Image], **options: object) -> Embeddings:
    return await client.embed(inputs, bypass_cache=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["", "qa.passage", "code2nl.query"])
async def test_code_embeddings(client: AsyncClient, published: dict[str, qwen.Published], task: str) -> None:
    own, card = published[CODE], load_card(CODE)
    prefix = card.tasks[task or "nl2code.query"].prefix
    answer = await embed(client, TEXTS, model=CODE, task=task)
    expected = [reference.states(own, reference.Row(ids(own, prefix + text)))[-1] for text in TEXTS]
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT
    assert np.allclose(np.linalg.norm(answer.vectors, axis=1), 1, atol=1e-6)


def v4_vector(own: qwen.Published, task: str, text: str) -> torch.Tensor:
    card = load_card(V4).tasks[task]
    adapter = ("retrieval", "text-matching", "code")[card.adapter or 0]
    return reference.states(own, reference.Row(ids(own, card.prefix + text), task=adapter)).mean(dim=0)


async def test_rows_of_different_tasks_share_batches(client: AsyncClient, published: dict[str, qwen.Published]) -> None:
    tasks = list(load_card(V4).tasks)
    answers = await asyncio.gather(*(embed(client, TEXTS, model=V4, task=task) for task in tasks))
    for task, answer in zip(tasks, answers, strict=True):
        expected = [v4_vector(published[V4], task, text) for text in TEXTS]
        assert cosine_errors(answer.vectors, expected).max() <= LIMIT, task


async def test_the_default_task_matches_texts(client: AsyncClient, published: dict[str, qwen.Published]) -> None:
    answer = await embed(client, TEXTS)
    expected = [v4_vector(published[V4], "text-matching", text) for text in TEXTS]
    assert answer.model == V4
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT


async def test_the_longest_text_is_embedded_and_a_longer_one_named(
    client: AsyncClient, published: dict[str, qwen.Published]
) -> None:
    text = "a"
    while len(ids(published[V4], f"Query: {text}")) < qwen.LENGTH:
        text += "a"
    answer = await embed(client, ["b", text], model=V4)
    assert [info.tokens for info in answer.inputs][1] == qwen.LENGTH
    expected = [v4_vector(published[V4], "text-matching", own) for own in ("b", text)]
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT
    with pytest.raises(InvalidArgument) as raised:
        await embed(client, ["b", text + "a"], model=V4)
    assert raised.value.field == "inputs[1]"
    assert f"{qwen.LENGTH + 1} tokens, the limit is {qwen.LENGTH}" in raised.value.message


async def test_matryoshka_sizes_are_renormalised_slices(client: AsyncClient) -> None:
    full = await embed(client, TEXTS, model=CODE)
    assert full.dimensions == qwen.WIDTH
    with pytest.raises(InvalidArgument, match="48 is none of them"):
        await embed(client, TEXTS, model=CODE, dimensions=48)


async def test_a_vector_per_token(client: AsyncClient, published: dict[str, qwen.Published]) -> None:
    answer = await embed(client, TEXTS, model=V4, task="retrieval.passage", multi_vector=True)
    for text, vectors in zip(TEXTS, answer.per_input(), strict=True):
        row = reference.Row(ids(published[V4], f"Passage: {text}"), task="retrieval")
        assert cosine_errors(vectors, list(reference.token_vectors(published[V4], row))).max() <= LIMIT


async def test_chunks_know_the_text_around_them(client: AsyncClient, published: dict[str, qwen.Published]) -> None:
    text = "the query and the passage of a document. are ranked by the search"
    answer = await embed(client, [text], model=V4, task="retrieval.passage", chunking=[[40, len(text)]])
    own = published[V4]
    states = reference.states(own, reference.Row(ids(own, f"Passage: {text}"), task="retrieval"))
    first, second = answer.chunks
    assert first.tokens + second.tokens == len(states) == answer.inputs[0].tokens
    assert text[first.start : first.end] == "the query and the passage of a document."
    expected = [states[: first.tokens].mean(dim=0), states[first.tokens :].mean(dim=0)]
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT


SIZES = ((120, 90), (56, 200), (300, 40), (30, 30))


def files() -> list[bytes]:
    return [encoded(picture(*size, seed=number), "PNG") for number, size in enumerate(SIZES)]


def processed(own: qwen.Published, data: bytes) -> reference.Picture:
    """The image as transformers' own processor makes it, by the checkpoint's file."""
    processor = Qwen2VLImageProcessorPil.from_pretrained(own.folder)
    made = processor(Pillow.open(BytesIO(data)), return_tensors="pt")
    _, rows, columns = made["image_grid_thw"][0].tolist()
    return reference.Picture(made["pixel_values"], rows // 2, columns // 2)


def image_row(own: qwen.Published, data: bytes, task: str) -> tuple[reference.Row, slice]:
    """The card's prompt with the image in it, and the span that is pooled."""
    section = load_card(V4).image
    assert section is not None
    assert section.prompt is not None
    before, after = (ids(own, part) for part in section.prompt.split("<|image_pad|>"))
    seen = processed(own, data)
    row = reference.row_with(own, [*before, seen, *after], task)
    return row, slice(len(before) - 1, len(before) + seen.tokens + 1)


@pytest.mark.parametrize(("task", "adapter"), [("", "text-matching"), ("retrieval.passage", "retrieval")])
async def test_images_of_different_sizes(
    client: AsyncClient, published: dict[str, qwen.Published], task: str, adapter: str
) -> None:
    own, data = published[V4], files()
    answer = await embed(client, [Image(each) for each in data], model=V4, task=task)
    rows = [image_row(own, each, adapter) for each in data]
    assert [info.tokens for info in answer.inputs] == [len(row.ids) for row, _ in rows]
    expected = [reference.states(own, row)[span].mean(dim=0) for row, span in rows]
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT


async def test_a_vector_per_tile_of_an_image(client: AsyncClient, published: dict[str, qwen.Published]) -> None:
    own, data = published[V4], files()[:2]
    answer = await embed(client, [Image(each) for each in data], model=V4, task="retrieval.passage", multi_vector=True)
    for each, vectors in zip(data, answer.per_input(), strict=True):
        row, _ = image_row(own, each, "retrieval")
        assert cosine_errors(vectors, list(reference.token_vectors(own, row))).max() <= LIMIT


async def test_texts_and_images_of_one_request_keep_their_places(client: AsyncClient) -> None:
    data = files()
    mixed = await embed(client, ["a", Image(data[0]), "b", Image(data[1])], model=V4)
    apart = [await embed(client, [each], model=V4) for each in ("a", Image(data[0]), "b", Image(data[1]))]
    assert np.abs(mixed.vectors - np.concatenate([own.vectors for own in apart])).max() < 1e-5


async def test_a_broken_image_is_named_and_a_model_of_texts_refuses_any(client: AsyncClient) -> None:
    data = files()
    with pytest.raises(InvalidArgument) as raised:
        await embed(client, ["a", Image(data[0]), Image(data[1][:200])], model=V4)
    assert raised.value.field == "inputs[2].image"
    with pytest.raises(InvalidArgument, match="reads no images"):
        await embed(client, [Image(data[0])], model=CODE)


async def test_an_image_is_cached_by_its_bytes(client: AsyncClient) -> None:
    (data, other, *_) = files()
    first = await client.embed([Image(data)], model=V4)
    for _ in range(50):
        again = await client.embed([Image(data), Image(other)], model=V4, dimensions=0)
        if again.inputs[0].cached:
            break
        await asyncio.sleep(0.02)
    assert again.inputs[0].cached
    assert np.array_equal(again.vectors[0], first.vectors[0])
    assert again.inputs[0].tokens == first.inputs[0].tokens


def xlm_states(own: xlm.Published, row: Sequence[int], adapter: int = -1) -> torch.Tensor:
    mask = torch.ones(1, len(row), dtype=torch.long)
    with torch.inference_mode():
        found: torch.Tensor = xlm.merged(own, adapter)(torch.tensor([row]), attention_mask=mask).last_hidden_state[0]
    return found


SENTENCES = ("a", "find the query", "the passage of a document, ranked by search models!", "über 検索 ?")


async def test_adapters_prompts_and_base_weights(client: AsyncClient, published_xlm: dict[str, xlm.Published]) -> None:
    own, card = published_xlm[V3], load_card(V3)
    asked = ["", *card.tasks]
    answers = await asyncio.gather(*(embed(client, SENTENCES, model=V3, task=task) for task in asked))
    for task, answer in zip(asked, answers, strict=True):
        prefix, adapter = (card.tasks[task].prefix, card.tasks[task].adapter) if task else ("", -1)
        rows = [own.tokenizer.encode(prefix + text).ids for text in SENTENCES]
        expected = [xlm_states(own, row, -1 if adapter is None else adapter).mean(dim=0) for row in rows]
        assert cosine_errors(answer.vectors, expected).max() <= LIMIT, task


async def test_a_short_size_is_the_renormalised_start(client: AsyncClient) -> None:
    full, half = [await embed(client, SENTENCES, model=V3, dimensions=size) for size in (0, 32)]
    cut = full.vectors[:, :32] / np.linalg.norm(full.vectors[:, :32], axis=1, keepdims=True)
    assert (full.dimensions, half.dimensions) == (xlm.WIDTH, 32)
    assert np.abs(half.vectors - cut).max() < 1e-6


async def test_late_chunks_of_sentences(client: AsyncClient, published_xlm: dict[str, xlm.Published]) -> None:
    own, text = published_xlm[V3], "find the query. ranked by search models! a document?"
    answer = await embed(client, [text], model=V3, task="retrieval.passage", chunking="sentences")
    prefix = load_card(V3).tasks["retrieval.passage"].prefix
    states = xlm_states(own, own.tokenizer.encode(prefix + text).ids, 1)
    sizes = [chunk.tokens for chunk in answer.chunks]
    assert (len(sizes), sum(sizes)) == (3, len(states))
    assert cosine_errors(answer.vectors, [part.mean(dim=0) for part in states.split(sizes)]).max() <= LIMIT


async def test_queries_of_late_interaction_are_padded_and_marked(
    client: AsyncClient, published_xlm: dict[str, xlm.Published]
) -> None:
    own = published_xlm[COLBERT]
    answer = await embed(client, SENTENCES, model=COLBERT, task="retrieval.query", multi_vector=True)
    marker, mask = (own.tokenizer.token_to_id(token) for token in ("[QueryMarker]", "<mask>"))
    for text, vectors in zip(SENTENCES, answer.per_input(), strict=True):
        first, *rest = own.tokenizer.encode(text).ids
        row = [first, marker, *rest]
        row += [mask] * (32 - len(row))
        expected = xlm_states(own, row) @ own.heads["linear.weight"].T
        assert cosine_errors(vectors, list(expected)).max() <= LIMIT


async def test_documents_of_late_interaction_lose_their_punctuation(
    client: AsyncClient, published_xlm: dict[str, xlm.Published]
) -> None:
    own = published_xlm[COLBERT]
    answer = await embed(client, SENTENCES, model=COLBERT, multi_vector=True)
    marker = own.tokenizer.token_to_id("[DocumentMarker]")
    skipped = {own.tokenizer.encode(symbol, add_special_tokens=False).ids[0] for symbol in string.punctuation}
    for text, vectors in zip(SENTENCES, answer.per_input(), strict=True):
        first, *rest = own.tokenizer.encode(text).ids
        row = [first, marker, *rest]
        kept = [place for place, token in enumerate(row) if token not in skipped]
        expected = (xlm_states(own, row) @ own.heads["linear.weight"].T)[kept]
        assert len(kept) < len(row) or not set(text) & set(string.punctuation)
        assert cosine_errors(vectors, list(expected)).max() <= LIMIT


async def test_texts_and_images_in_one_space(client: AsyncClient, published_xlm: dict[str, xlm.Published]) -> None:
    own, data = published_xlm[CLIP], files()
    answer = await embed(client, [*SENTENCES, *(Image(each) for each in data)], model=CLIP)
    rows = [own.tokenizer.encode(text).ids for text in SENTENCES]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": xlm.IMAGE}, crop_size={"height": xlm.IMAGE, "width": xlm.IMAGE}
    )
    pixels = [processor(Pillow.open(BytesIO(each)), return_tensors="pt")["pixel_values"][0] for each in data]
    expected = [xlm_states(own, row, 0).mean(dim=0) for row in rows]
    expected += [eva_reference.embedded(own.heads, image, xlm.PATCH) for image in pixels]
    assert cosine_errors(answer.vectors, expected).max() <= LIMIT
    asked = await embed(client, ["find"], model=CLIP, task="retrieval.query")
    prefixed = await embed(client, [load_card(CLIP).tasks["retrieval.query"].prefix + "find"], model=CLIP)
    assert np.abs(asked.vectors - prefixed.vectors).max() < 1e-6
