"""A score of a pair, or of late interaction, is the same whatever else is in the request."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pictures import encoded, picture
from support.rerankers import COLBERT, IMAGES, PAIRS, WORDS, Service

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=90).map(" ".join)
pictures = st.builds(
    lambda width, height: encoded(picture(28 * width, 28 * height, width), "PNG"), st.integers(1, 4), st.integers(1, 3)
)


@pytest.fixture(scope="module", params=[PAIRS, IMAGES, COLBERT])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Small batches, so that a request has several."""
    return Service(tmp_path_factory.mktemp("models"), request.param, max_tokens=128, max_batch_tokens=256)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
async def test_a_score_depends_neither_on_other_documents_nor_on_their_order(
    service: Service, data: st.DataObject
) -> None:
    content = st.one_of(texts, pictures) if service.card.name == IMAGES else texts
    query = data.draw(content)
    documents = data.draw(st.lists(content, min_size=1, max_size=6))
    together = await service.scores(query, documents)
    order = list(range(len(documents)))
    random.Random(len(documents)).shuffle(order)
    shuffled = await service.scores(query, [documents[place] for place in order])
    assert shuffled == pytest.approx([together[place] for place in order], abs=1e-5)
    place = data.draw(st.sampled_from(order))
    (alone,) = await service.scores(query, [documents[place]])
    assert alone == pytest.approx(together[place], abs=1e-5)
