"""The words of the Python interface and the enum values that they stand for on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from searchmesh.runtime.errors import Internal, InvalidArgument
from searchmesh.v1 import common_pb2, reader_pb2, router_pb2

DType = Literal["float32", "float16", "int8", "uint8", "binary"]
Truncation = Literal["refuse", "end", "start"]
Lane = Literal["interactive", "bulk"]
SearchMode = Literal["hybrid", "dense", "lexical"]
FusionMethod = Literal["rrf", "convex"]
FilterType = Literal["tag", "number"]
ReadEngine = Literal["auto", "model", "rules"]
ReadFormat = Literal["markdown", "text", "json"]
Retention = Literal["all", "text", "none"]
FinishReason = Literal["stop", "length", "loop"]

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
READ_ENGINES: Mapping[ReadEngine, reader_pb2.ReadEngine.ValueType] = {
    "auto": reader_pb2.READ_ENGINE_AUTO,
    "model": reader_pb2.READ_ENGINE_MODEL,
    "rules": reader_pb2.READ_ENGINE_RULES,
}
READ_FORMATS: Mapping[ReadFormat, reader_pb2.ReadFormat.ValueType] = {
    "markdown": reader_pb2.READ_FORMAT_MARKDOWN,
    "text": reader_pb2.READ_FORMAT_TEXT,
    "json": reader_pb2.READ_FORMAT_JSON,
}
RETENTIONS: Mapping[Retention, reader_pb2.Retention.ValueType] = {
    "all": reader_pb2.RETENTION_ALL,
    "text": reader_pb2.RETENTION_TEXT,
    "none": reader_pb2.RETENTION_NONE,
}
FINISH_REASONS: Mapping[FinishReason, common_pb2.FinishReason.ValueType] = {
    "stop": common_pb2.FINISH_REASON_STOP,
    "length": common_pb2.FINISH_REASON_LENGTH,
    "loop": common_pb2.FINISH_REASON_LOOP,
}

V = TypeVar("V")
W = TypeVar("W", bound=str)


def value_of(field: str, word: W, words: Mapping[W, V]) -> V:
    """The enum value of a word. Raises InvalidArgument, naming the field and the words it knows."""
    try:
        return words[word]
    except KeyError:
        raise InvalidArgument(field, f"must be one of {', '.join(words)}; got {word!r}") from None


def word_of(value: V, words: Mapping[W, V]) -> W:
    """The word for an enum value. Raises Internal for one that this client is too old to know."""
    for word, meant in words.items():
        if meant == value:
            return word
    raise Internal(f"the service answered with {value}, which this client does not know; is it older?")
