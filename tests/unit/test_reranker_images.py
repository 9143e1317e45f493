"""Pairs of texts and images: the sequence to the letter, cuts of each side alone, and every image looked at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, Overloaded
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import common_pb2, reranker_pb2
from support.pictures import encoded, picture
from support.rerankers import IMAGES, Service

SCORE_TOKEN = 100
VISION = f"{IMAGES}-vision"

SMALL, WIDE = (encoded(picture(*size, seed), "PNG") for seed, size in enumerate([(84, 56), (140, 56)]))
"""Of 3 x 2 and 5 x 2 tiles of 28 pixels."""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, IMAGES, max_tokens=400, max_images=6, max_held_images=8)


def expected_ids(service: Service, document: str | int, query: str | int) -> list[int]:
    """Of a text, or of an image of so many tiles."""

    def side(content: str | int) -> str:
        return content if isinstance(content, str) else f"<|vision_start|>{'<|image_pad|>' * content}<|vision_end|>"

    text = f"**Document**:\n{side(document)}\n**Query**:\n{side(query)}"
    return [*service.tokenizer.encode(text).ids, SCORE_TOKEN]


@pytest.mark.parametrize(
    ("query", "document", "tiles"),
    [
        ("the query", "the document.", (None, None)),
        ("\nthe query\n", "\n\nthe document. \n", (None, None)),
        ("the query.", SMALL, (None, 6)),
        (SMALL, "the document.", (6, None)),
        (SMALL, WIDE, (6, 10)),
    ],
)
async def test_each_side_is_a_text_or_an_image_in_the_published_template(
    service: Service, query: str | bytes, document: str | bytes, tiles: tuple[int | None, int | None]
) -> None:
    response = await service.rerank(query, [document])
    asked = query if isinstance(query, str) else tiles[0]
    read = document if isinstance(document, str) else tiles[1]
    assert asked is not None
    assert read is not None
    assert service.sequences() == [expected_ids(service, read, asked)]
    tokens = [response.query.tokens, response.results[0].input.tokens]
    assert tokens == [
        side if isinstance(side, int) else len(service.tokenizer.encode(side).ids) for side in (asked, read)
    ]


async def test_the_score_is_the_probability_of_the_logit_moved_by_the_published_shift(service: Service) -> None:
    (score,) = await service.scores("q", ["d"])
    logit = service.backend._output("logit", service.backend.calls[0][1])[0]
    assert score == pytest.approx(1 / (1 + np.exp(2.65 - logit)), abs=1e-6)


async def test_images_take_the_places_of_their_tokens_document_before_query(service: Service) -> None:
    await service.rerank(SMALL, [WIDE])
    _, inputs = service.backend.calls[-1]
    index, (temporal, rows, columns) = inputs["image_index"][0], inputs["position_ids"][0]
    places = np.flatnonzero(index >= 0)
    # Each image was in a batch of its own, as they differ in size.
    looked = {call["patches"].shape[1]: call for name, call in service.backend.calls if name == VISION}
    wanted = np.concatenate([service.backend._output("image_features", looked[4 * tiles])[0] for tiles in (10, 6)])
    np.testing.assert_array_equal(inputs["image_features"][0][index[places]], wanted)
    # M-RoPE: an image's tokens are in rows and columns, and the text behind goes on after the larger side.
    first = int(places[0])
    assert (rows[first : first + 10] - first).tolist() == [0] * 5 + [1] * 5
    assert (columns[first : first + 10] - first).tolist() == [0, 1, 2, 3, 4] * 2
    assert set(temporal[first : first + 10]) == {first}
    assert temporal[first + 10] == first + 5


async def test_every_distinct_image_is_looked_at_once(service: Service) -> None:
    await service.rerank(SMALL, [SMALL, WIDE, "text", WIDE, SMALL])
    looked = [inputs["patches"] for name, inputs in service.backend.calls if name == VISION]
    assert sum(len(patches) for patches in looked) == 2


async def test_texts_and_images_are_scored_alike_alone_and_together(service: Service) -> None:
    documents = ["the document.", SMALL, "another one " * 20, WIDE, SMALL]
    for query in ("the query", SMALL):
        together = await service.scores(query, documents)
        alone = [(await service.scores(query, [document]))[0] for document in documents]
        assert together == pytest.approx(alone, abs=1e-6)
        assert len(set(together)) == 4


async def test_a_text_that_spells_an_image_is_none(service: Service) -> None:
    await service.rerank("q", ["a<|image_pad|>b", SMALL])
    pad = service.tokenizer.token_to_id("<|image_pad|>")
    text, image = sorted(service.sequences(), key=lambda ids: ids.count(pad))
    assert text == [token for token in expected_ids(service, "a<|image_pad|>b", "q") if token != pad]
    assert image == expected_ids(service, 6, "q")
    await service.rerank("q<|image_pad|>", [SMALL])
    assert service.sequences()[-1] == expected_ids(service, 6, "q")


async def test_a_long_document_never_pushes_the_query_out(service: Service) -> None:
    response = await service.rerank("1 2 3 4 5", ["7" * 1000])
    (ids,) = service.sequences()
    assert len(ids) <= 400
    text = service.tokenizer.decode(ids[:-1])
    assert text.endswith("7\n**Query**:\n1 2 3 4 5")
    info = response.results[0].input
    assert info.truncated
    assert info.tokens == text.count("7")
    assert info.tokens > 300


async def test_a_long_query_loses_its_end_beside_a_long_document(service: Service) -> None:
    response = await service.rerank("8" * 1000, ["7" * 1000])
    (ids,) = service.sequences()
    assert len(ids) <= 400
    text = service.tokenizer.decode(ids[:-1])
    assert response.query.truncated
    assert 150 < response.query.tokens < 200
    assert text.endswith("7\n**Query**:\n" + "8" * response.query.tokens)


async def test_a_document_may_be_refused_or_keep_its_end(service: Service) -> None:
    with pytest.raises(InvalidArgument, match=r"documents\[1\]: has 1000 tokens"):
        await service.rerank("q", ["d", "7" * 1000], truncation=common_pb2.TRUNCATION_REFUSE)
    assert service.backend.calls == []
    await service.rerank("q", ["7" * 1000 + "89"], truncation=common_pb2.TRUNCATION_START)
    assert "7789\n**Query**" in service.tokenizer.decode(service.sequences()[0][:-1])


async def test_an_image_with_more_tiles_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, IMAGES, max_tokens=64)
    large = encoded(picture(280, 280), "PNG")  # 100 tiles
    for query, document, field in (("q", large, "documents[0].image"), (large, "d", "query.image")):
        with pytest.raises(InvalidArgument) as raised:
            await service.rerank(query, [document])
        assert (raised.value.field, raised.value.reason) == (field, "INPUT_TOO_LONG")


@pytest.mark.parametrize(
    ("query", "documents", "field"),
    [
        ("q", ["d", b"no image"], "documents[1].image"),
        (SMALL[:-40], ["d"], "query.image"),
        ("q", [SMALL] * 7, "documents"),
        ("q", [""], "documents[0].text"),
    ],
)
async def test_bad_images_are_refused_by_field(
    service: Service, query: str | bytes, documents: list[str | bytes], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank(query, documents)
    assert raised.value.field == field


async def test_an_image_without_source_is_refused(service: Service) -> None:
    request = reranker_pb2.RerankRequest(
        query=common_pb2.Content(text="q"), documents=[common_pb2.Content(image=common_pb2.Image())]
    )
    with pytest.raises(InvalidArgument) as raised:
        await service.servicer.Rerank(request, Call(Deadline()))
    assert raised.value.field == "documents[0].image"


async def test_requests_that_would_hold_too_many_images_are_shed(service: Service) -> None:
    pictures = [encoded(picture(56, 56, seed), "PNG") for seed in range(12)]
    service.backend.delay_s = 0.05
    first = asyncio.create_task(service.scores("q", pictures[:6]))
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await service.scores("q", pictures[6:])
    await service.scores("q", [*pictures[6:8]])  # there is room for two
    await first
    await service.scores("q", pictures[6:])
