"""The figure of reranking, on a mesh of its own, with sizes that take seconds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from searchmesh.runtime.errors import Internal
from searchmesh_bench import random_reranker
from searchmesh_bench.figures.reranking import reranking

FIGURE = sys.modules[reranking.__module__]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEARCHMESH_DATA", raising=False)
    for name, value in {"_ROUNDS": 1, "_PASSAGES": 6, "_POOL": 40, "_SORTED_BATCH": 2}.items():
        monkeypatch.setattr(FIGURE, name, value)
    for name, value in {"LAYERS": 1, "WIDTH": 48, "_INNER": 64, "_PIECES": 1000}.items():
        monkeypatch.setattr(random_reranker, name, value)


async def test_pairs_are_scored_alike_on_both_sides_and_compared_in_two_ways() -> None:
    figure = await reranking(None)  # type: ignore[arg-type]
    assert [row.target is not None for row in figure.comparisons] == [True, False]
    for row in figure.comparisons:
        assert row.measured > 0
        assert row.reference > 0
    assert figure.conditions[0].startswith("6 passages of the Python documentation")


def test_sides_that_score_differently_are_no_figure() -> None:
    ours, theirs = (FIGURE._Side(1.0, np.array([0.5, value])) for value in (0.1, 0.2))
    texts = FIGURE._Texts("texts", "query", ["a", "b"])
    with pytest.raises(Internal, match="do not score alike"):
        FIGURE._figure(texts, [3, 4], [(ours, FIGURE._Reference(ours, theirs))])
