"""Retrieval measures against values worked out by hand."""

from __future__ import annotations

import pytest

from searchmesh_bench.metrics import ndcg, recall, reciprocal_rank

GRADES = {"x": 3, "y": 2, "z": 1, "judged-not-relevant": 0, "negative": -1}


def test_a_perfect_ranking_scores_one() -> None:
    ranking = ["x", "y", "z", "other"]
    assert ndcg(ranking, GRADES) == pytest.approx(1)
    assert recall(ranking, GRADES) == 1
    assert reciprocal_rank(ranking, GRADES) == 1


def test_ndcg_has_linear_gains_and_logarithmic_discounts() -> None:
    # DCG = 2 / log2(2) + 0 / log2(3) + 3 / log2(4) = 3.5; ideal = 3 / 1 + 2 / 1.584963 + 1 / 2 = 4.761860
    assert ndcg(["y", "other", "x"], GRADES) == pytest.approx(3.5 / 4.7618595, abs=1e-7)


def test_ndcg_sees_only_the_first_ten_and_so_does_its_ideal() -> None:
    many = {str(number): 1 for number in range(20)}
    first_ten = [str(number) for number in range(10)]
    assert ndcg(first_ten, many) == pytest.approx(1)
    assert ndcg([*(["other"] * 10), "0"], many) == 0


def test_grades_of_zero_or_less_are_not_relevant() -> None:
    ranking = ["judged-not-relevant", "negative"]
    assert ndcg(ranking, GRADES) == 0
    assert recall(ranking, GRADES) == 0
    assert reciprocal_rank(ranking, GRADES) == 0


def test_recall_is_the_share_found_within_the_depth() -> None:
    assert recall(["z", "other", "x"], GRADES) == pytest.approx(2 / 3)
    assert recall(["z", "other", "x"], GRADES, depth=2) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("rank", "expected"), [(1, 1.0), (4, 0.25), (10, 0.1), (11, 0.0)])
def test_reciprocal_rank_ends_at_its_depth(rank: int, expected: float) -> None:
    ranking = [*(f"other-{number}" for number in range(rank - 1)), "y"]
    assert reciprocal_rank(ranking, GRADES) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [ndcg, recall, reciprocal_rank])
def test_a_query_without_relevant_documents_has_no_measure(measure: type) -> None:
    with pytest.raises(ValueError, match="no relevant document"):
        measure(["a"], {"a": 0})
