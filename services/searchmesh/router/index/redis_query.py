"""Queries in RediSearch's language (dialect 2).

Everything that comes from outside goes in as a parameter (``$p0``), which the parser never reads; what is written
into the query are operators, positions of fields and numbers of parameters. So no text is a syntax error, and none
is an operator.
"""

from __future__ import annotations

from collections.abc import Sequence

from searchmesh.router.index.filters import AllOf, AnyOf, Filter, Not, NumberIn, TagIn
from searchmesh.router.index.protocol import Collection, Vector
from searchmesh.router.index.redis_schema import index_name, tag_term, vector_bytes

SCORER = "BM25STD"
"""BM25 with k1 1.2 and b 0.5. Measured nDCG@10 on cranfield's first 150 queries, any term matching: .505; the
module's own BM25, TFIDF, TFIDF.DOCNORM and DISMAX stay below .12."""

EF_PER_CANDIDATE = 2
"""HNSW keeps this many candidates for each asked for. Recall@100 over 51,760 vectors at 1, 1.5, 2 and 4: .948 .976
.986 .996; median 0.43, 0.54, 0.65 and 1.05 ms."""


def dense_command(
    collection: Collection, space: str, vector: Vector, k: int, filter: Filter | None
) -> list[str | int | bytes]:
    """FT.SEARCH for the nearest neighbours; the reply is the count, then key and ``#distance`` by turns."""
    number = next(number for number, known in enumerate(collection.spaces) if known.name == space)
    params = _Params()
    among = "*" if filter is None else _clause(filter, collection, params)
    blob = params.add(vector_bytes(collection.spaces[number], vector))
    query = f"{among}=>[KNN {k} @v{number} {blob} EF_RUNTIME {EF_PER_CANDIDATE * k} AS distance]"
    head = ["FT.SEARCH", index_name(collection), query, "NOCONTENT", "SORTBY", "distance", "WITHSORTKEYS"]
    return [*head, "LIMIT", 0, k, *params.arguments(), "DIALECT", 2]


def lexical_command(
    collection: Collection, terms: Sequence[str], k: int, filter: Filter | None
) -> list[str | int | bytes]:
    """FT.SEARCH for documents with any of the terms; the reply is the count, then key and score by turns."""
    params = _Params()
    query = f"({'|'.join(params.add(term) for term in terms)})"
    if filter is not None:
        clause = _clause(filter, collection, params)
        # Tags have a score of their own, which is no part of the text's. The weight works on groups only, and
        # groups of one are dissolved.
        query = f"{query} (({clause} {clause})=>{{$weight: 0}})"
    head = ["FT.SEARCH", index_name(collection), query, "NOCONTENT", "WITHSCORES", "SCORER", SCORER, "VERBATIM"]
    return [*head, "LIMIT", 0, k, *params.arguments(), "DIALECT", 2]


class _Params:
    def __init__(self) -> None:
        self._values: list[str | bytes] = []

    def add(self, value: str | bytes) -> str:
        self._values.append(value)
        return f"$p{len(self._values) - 1}"

    def arguments(self) -> list[str | int | bytes]:
        named: list[str | int | bytes] = []
        for number, value in enumerate(self._values):
            named += [f"p{number}", value]
        return ["PARAMS", len(named), *named]


def _clause(filter: Filter, collection: Collection, params: _Params, *, negated: bool = False) -> str:
    """Negations are pushed down to the conditions: beside other clauses, one within another misses documents that were
    updated, until the module collects its garbage.
    """
    match filter:
        case AllOf(parts) | AnyOf(parts):
            both = isinstance(filter, AllOf) is not negated
            return (
                f"({(' ' if both else '|').join(_clause(part, collection, params, negated=negated) for part in parts)})"
            )
        case Not(inner):
            return _clause(inner, collection, params, negated=not negated)
        case TagIn(field, values):
            tags = "|".join(params.add(tag_term(value)) for value in values)
            condition = f"(@{_position(field, collection)}:{{{tags}}})"
        case NumberIn(field, gte, gt, lte, lt):
            name = _position(field, collection)
            ranges = [
                f"@{name}:[{low}{params.add(repr(float(bound))) if bound is not None else ''}{high}]"
                for low, bound, high in (
                    ("", gte, " +inf"),
                    ("(", gt, " +inf"),
                    ("-inf ", lte, ""),
                    ("-inf (", lt, ""),
                )
                if bound is not None
            ]
            condition = f"({' '.join(ranges)})"
    return f"(-{condition})" if negated else condition


def _position(field: str, collection: Collection) -> str:
    return next(f"f{number}" for number, known in enumerate(collection.filter_fields) if known.name == field)
