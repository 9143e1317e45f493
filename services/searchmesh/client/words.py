"""The words of the Python interface and the enum values that they stand for on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2

DType = Literal["float32", "float16", "int8", "uint8", "binary"]
Truncation = Literal["refuse", "end", "start"]
Lane = Literal["interactive", "bulk"]
SearchMode = Literal["hybrid", "dense", "lexical"]
FusionMethod = Literal["rrf", "convex"]
FilterType = Literal["tag", "number"]

DTYPES: Mapping[str, common_pb2.DType.ValueType] = {
    "float32": common_pb2.DTYPE_FLOAT32,
    "float16": common_pb2.DTYPE_FLOAT16,
    "int8": common_pb2.DTYPE_INT8,
    "uint8": common_pb2.DTYPE_UINT8,
    "binary": common_pb2.DTYPE_BINARY,
}
TRUNCATIONS: Mapping[str, common_pb2.Truncation.ValueType] = {
    "refuse": common_pb2.TRUNCATION_REFUSE,
    "end": common_pb2.TRUNCATION_END,
    "start": common_pb2.TRUNCATION_START,
}
LANES: Mapping[str, common_pb2.Lane.ValueType] = {
    "interactive": common_pb2.LANE_INTERACTIVE,
    "bulk": common_pb2.LANE_BULK,
}
SEARCH_MODES: Mapping[str, router_pb2.SearchMode.ValueType] = {
    "hybrid": router_pb2.SEARCH_MODE_HYBRID,
    "dense": router_pb2.SEARCH_MODE_DENSE,
    "lexical": router_pb2.SEARCH_MODE_LEXICAL,
}
FUSION_METHODS: Mapping[str, router_pb2.FusionMethod.ValueType] = {
    "rrf": router_pb2.FUSION_METHOD_RRF,
    "convex": router_pb2.FUSION_METHOD_CONVEX,
}
FILTER_TYPES: Mapping[str, router_pb2.FilterType.ValueType] = {
    "tag": router_pb2.FILTER_TYPE_TAG,
    "number": router_pb2.FILTER_TYPE_NUMBER,
}

V = TypeVar("V")


def value_of(field: str, word: str, words: Mapping[str, V]) -> V:
    """The enum value of a word. Raises InvalidArgument, naming the field and the words it knows."""
    try:
        return words[word]
    except KeyError:
        raise InvalidArgument(field, f"must be one of {', '.join(words)}; got {word!r}") from None
