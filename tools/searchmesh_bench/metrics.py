"""Measures of a ranking against graded judgements, as trec_eval computes them.

A ranking is a list of document ids, best first, without repeats. Grades map ids to relevance; ids that are missing
or graded 0 or less are not relevant. A query without relevant documents has no measure: ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Grades = Mapping[str, int]


def ndcg(ranking: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `depth`.

    The gain of a document is its grade (linear, like trec_eval and BEIR; not 2^grade - 1), its discount
    log2(rank + 1). The ideal ranking has all relevant documents in order of their grades.
    """
    ideal = _dcg(sorted(_relevant(grades).values(), reverse=True)[:depth])
    return _dcg([max(0, grades.get(document, 0)) for document in ranking[:depth]]) / ideal


def recall(ranking: Sequence[str], grades: Grades, depth: int = 100) -> float:
    """Share of the relevant documents that are among the first `depth`."""
    relevant = _relevant(grades)
    return sum(document in relevant for document in ranking[:depth]) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """1 / rank of the first relevant document, 0 if none is among the first `depth`. Its mean is MRR."""
    relevant = _relevant(grades)
    return next((1 / rank for rank, document in enumerate(ranking[:depth], 1) if document in relevant), 0.0)


def _relevant(grades: Grades) -> dict[str, int]:
    relevant = {document: grade for document, grade in grades.items() if grade > 0}
    if not relevant:
        raise ValueError("the query has no relevant document")
    return relevant


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
