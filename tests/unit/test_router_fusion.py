"""Fusion and blending of rankings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchmesh.router.blend import blend, blends
from searchmesh.router.fusion import Ranking, best_side, convex, rrf, z_scores
from searchmesh.router.query import FusionMethod, FusionOptions
from searchmesh.router.search import fuse, ordered

FINITE = st.floats(-1e6, 1e6)
TABLES = st.dictionaries(st.integers(0, 30), FINITE, max_size=15)


def ranking(stage: str = "dense", *, floor: float = 0.0, weight: float = 1.0, **scores: float) -> Ranking[str]:
    return Ranking(stage, dict(sorted(scores.items(), key=lambda item: -item[1])), floor, weight)


def test_rrf_sums_reciprocal_ranks() -> None:
    fused = rrf([ranking(a=9, b=8), ranking(b=0.2, c=0.1)], k=60)
    assert fused == {"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62}
    assert list(fused) == ["b", "a", "c"]


def test_rrf_follows_weights_and_keeps_ties_as_listed() -> None:
    assert list(rrf([ranking(a=1), ranking(b=1)])) == ["a", "b"]
    assert list(rrf([ranking(a=1, weight=0.5), ranking(b=1, weight=1.5)])) == ["b", "a"]


def test_convex_gives_the_unlisted_the_floor() -> None:
    # Dense cannot tell b from c; lexical prefers c.
    fused = convex([ranking(a=0.9, b=0.5, floor=0.5), ranking(a=3, c=2, floor=0)])
    assert list(fused) == ["a", "c", "b"]
    assert sum(fused.values()) == pytest.approx(0)


def test_convex_of_one_ranking_keeps_its_order() -> None:
    assert list(convex([ranking(a=3, b=2, c=1)])) == ["a", "b", "c"]


@pytest.mark.parametrize("values", [[], [2.0], [0.1, 0.1, 0.1], [1e9, 1e9 + 1e-6]])
def test_values_that_do_not_differ_have_no_vote(values: list[float]) -> None:
    assert z_scores(values) == [0.0] * len(values)


@given(st.lists(FINITE, min_size=2, max_size=50))
def test_z_scores_are_centred_and_keep_the_order(values: list[float]) -> None:
    scores = z_scores(values)
    assert sum(scores) == pytest.approx(0, abs=1e-6)
    assert z_scores(sorted(values)) == pytest.approx(sorted(scores))


@given(st.lists(TABLES, min_size=1, max_size=4))
def test_fusion_ranks_every_document_once_whatever_the_order_of_rankings(tables: list[dict[int, float]]) -> None:
    rankings = [
        Ranking(str(number), dict(sorted(table.items(), key=lambda item: -item[1])), min(table.values(), default=0.0))
        for number, table in enumerate(tables)
    ]
    for fusing in (rrf, convex):
        fused = fusing(rankings)
        assert fused.keys() == {key for table in tables for key in table}
        assert list(fused.values()) == sorted(fused.values(), reverse=True)
        assert fusing(rankings[::-1]) == pytest.approx(fused)


def test_a_document_is_as_good_as_its_better_side() -> None:
    assert best_side([{"a": 2.0, "b": 1.0}, {"b": 1.5, "c": 1.0, "a": -1.0}]) == {"a": 2.0, "b": 1.5, "c": 1.0}
    assert list(best_side([{"a": 1.0}, {"b": 1.0, "c": 3.0}])) == ["c", "a", "b"]


@pytest.mark.parametrize("method", FusionMethod)
def test_to_be_text_and_image_is_no_merit_of_its_own(method: FusionMethod) -> None:
    # The text alone leads both rankings of its side, the image alone that of the other; the one that is both is
    # second everywhere.
    key = {name: ("c", name) for name in ("text", "both", "image", "last")}
    text = {key["text"]: 9.0, key["both"]: 7.0, key["last"]: 1.0}
    image = {key["image"]: 0.9, key["both"]: 0.7, key["last"]: 0.1}
    rankings = [
        Ranking("dense.text", text, 1.0),
        Ranking("lexical", text, 1.0),
        Ranking("dense.image", image, 0.1, 2.0, side="image"),
    ]
    first, second, *rest = fuse(rankings, FusionOptions(method))
    assert {first, second} == {key["text"], key["image"]}
    assert rest == [key["both"], key["last"]]


def test_what_was_reranked_is_ordered_in_its_own_places() -> None:
    fused = {("c", id): score for id, score in zip("abcdef", (9.0, 8.0, 7.0, 6.0, 5.0, 4.0), strict=True)}
    reranked = {("c", "a"): 1.0, ("c", "c"): 3.0, ("c", "d"): 1.0}
    assert [id for _, id in ordered(fused, reranked)] == ["c", "b", "a", "d", "e", "f"]
    assert ordered(fused, {}) == list(fused)


def test_blending_adds_the_votes_of_retrieval() -> None:
    keys = ["a", "b", "c"]
    dense, lexical = ranking(a=0.9, b=0.8, c=0.1), ranking("lexical", a=5, b=1, floor=1)
    assert blend([1, 2, 3], keys, []) == sorted(blend([1, 2, 3], keys, []))
    blended = dict(zip(keys, blend([1, 1.1, 1.2], keys, [dense, lexical]), strict=True))
    assert sorted(keys, key=lambda key: -blended[key]) == ["a", "b", "c"]


def test_the_card_says_whether_to_blend() -> None:
    assert blends("all-MiniLM-L6-v2")
    assert not blends("jina-reranker-v2-base-multilingual")
    assert not blends("a model without a card")
