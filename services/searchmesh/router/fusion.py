"""One order out of several rankings. Pure functions over score tables; higher is better everywhere."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

RRF_K = 60
"""Cormack, Clarke and Büttcher, SIGIR 2009."""


@dataclass(frozen=True, slots=True)
class Ranking(Generic[K]):
    """What one retriever found, best first."""

    stage: str
    scores: Mapping[K, float]
    floor: float
    """No document that it did not list can have scored more than this."""

    weight: float = 1.0
    """Relative to the other rankings of its side."""

    side: str = "text"
    """What of the documents it goes by, ``text`` or ``image``: a document may have no other side."""


def rrf(rankings: Sequence[Ranking[K]], k: int = RRF_K) -> dict[K, float]:
    """Reciprocal rank fusion: the weighted sum of 1 / (k + rank), ranks from 1. Best first, ties as listed."""
    fused: dict[K, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking.scores, start=1):
            fused[key] = fused.get(key, 0.0) + ranking.weight / (k + rank)
    return _sorted(fused)


def convex(rankings: Sequence[Ranking[K]]) -> dict[K, float]:
    """The weighted mean of z-scores. Best first, ties as listed.

    A document that a retriever did not list has its floor. Measured nDCG@10 of dense and BM25 with equal weights,
    z-scores, min-max and RRF: cranfield .566 .563 .557, scifact .735 .729 .711.
    """
    keys = list(dict.fromkeys(key for ranking in rankings for key in ranking.scores))
    total = sum(ranking.weight for ranking in rankings) or 1.0
    fused = z_sum((ranking.weight / total, listed(ranking, keys)) for ranking in rankings)
    return _sorted(dict(zip(keys, fused, strict=True)))


def best_side(sides: Sequence[Mapping[K, float]]) -> dict[K, float]:
    """One order out of one for each side: a document is as good as the better of its sides. Best first, ties as listed.

    Votes of sides cannot be summed, as those documents would win that have both. Measured nDCG@10, best side and sum,
    where dense vectors stand for those of images, mean of two random splits: a third of the documents as texts, a third
    as images, a third as both: cranfield convex .537 .443, RRF .501 .308, scifact .690 .574, .633 .355; half and half:
    cranfield .520 .430, .495 .347, scifact .661 .558, .602 .399. (All as texts, dense alone: .499, .645.)
    """
    best: dict[K, float] = {}
    for side in sides:
        for key, score in side.items():
            best[key] = max(score, best.get(key, score))
    return _sorted(best)


def listed(ranking: Ranking[K], keys: Iterable[K]) -> list[float]:
    """The ranking's score of each key, its floor where it has none."""
    return [ranking.scores.get(key, ranking.floor) for key in keys]


def z_scores(values: Sequence[float]) -> list[float]:
    """Each value's distance from the mean in standard deviations; all 0 if they do not differ."""
    if not values:
        return []
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    # Below this, differences are rounding, and dividing by it would make them votes.
    if deviation <= 1e-9 * max(1.0, abs(mean)):
        return [0.0] * len(values)
    return [(value - mean) / deviation for value in values]


def z_sum(parts: Iterable[tuple[float, Sequence[float]]]) -> list[float]:
    """Position by position, the sum of weight × z-score over the parts (weight, values)."""
    weighted = [[weight * value for value in z_scores(values)] for weight, values in parts]
    return [math.fsum(column) for column in zip(*weighted, strict=True)]


def _sorted(scores: dict[K, float]) -> dict[K, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
