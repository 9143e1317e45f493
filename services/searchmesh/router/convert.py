"""Between the messages of searchmesh.v1 and the router's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf import json_format, struct_pb2, timestamp_pb2

from searchmesh.router.collections import Counted
from searchmesh.router.index import (
    AllOf,
    AnyOf,
    Collection,
    Document,
    FieldType,
    Filter,
    FilterField,
    Json,
    Not,
    NumberIn,
    Space,
    TagIn,
)
from searchmesh.router.query import Degradation, Hit, Mode
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import router_pb2

E = TypeVar("E")

_MODES: dict[Mode, router_pb2.SearchMode.ValueType] = {
    Mode.HYBRID: router_pb2.SEARCH_MODE_HYBRID,
    Mode.DENSE: router_pb2.SEARCH_MODE_DENSE,
    Mode.LEXICAL: router_pb2.SEARCH_MODE_LEXICAL,
}
_FIELD_TYPES: dict[FieldType, router_pb2.FilterType.ValueType] = {
    FieldType.TAG: router_pb2.FILTER_TYPE_TAG,
    FieldType.NUMBER: router_pb2.FILTER_TYPE_NUMBER,
}


def mode_to_proto(mode: Mode) -> router_pb2.SearchMode.ValueType:
    """The mode's enum value."""
    return _MODES[mode]


def mode_from_proto(field: str, value: int) -> Mode:
    """The mode; hybrid if none is named. Raises InvalidArgument for an unknown value."""
    if value == router_pb2.SEARCH_MODE_UNSPECIFIED:
        return Mode.HYBRID
    return _named(field, value, _MODES)


def _named(field: str, value: int, names: Mapping[E, int]) -> E:
    for name, number in names.items():
        if number == value:
            return name
    raise InvalidArgument(field, f"{value} is not a known value")


# ---- collections


def collection_from_proto(message: router_pb2.Collection) -> Collection:
    """The definition in a request. Raises InvalidArgument for an unknown type of field."""
    return Collection(
        name=message.name,
        spaces=tuple(Space(space.name, space.embedder, space.dimensions) for space in message.spaces),
        language=message.language,
        filter_fields=tuple(
            FilterField(field.name, _named(f"collection.filter_fields[{number}].type", field.type, _FIELD_TYPES))
            for number, field in enumerate(message.filter_fields)
        ),
        reranker=message.reranker,
    )


def collection_to_proto(counted: Counted) -> router_pb2.Collection:
    """The collection as it is."""
    collection = counted.collection
    created = timestamp_pb2.Timestamp()
    created.FromMilliseconds(round(collection.created_at * 1000))
    return router_pb2.Collection(
        name=collection.name,
        spaces=[
            router_pb2.VectorSpace(name=space.name, embedder=space.embedder, dimensions=space.dimensions)
            for space in collection.spaces
        ],
        reranker=collection.reranker,
        language=collection.language,
        filter_fields=[
            router_pb2.FilterField(name=field.name, type=_FIELD_TYPES[field.type]) for field in collection.filter_fields
        ],
        document_count=counted.documents,
        create_time=created,
    )


# ---- documents


def document_from_proto(message: router_pb2.Document) -> Document:
    """The document. Raises InvalidArgument if its metadata is no JSON."""
    metadata: dict[str, Json] = {}
    if message.HasField("metadata"):
        try:
            metadata = json_format.MessageToDict(message.metadata)
        except (json_format.Error, ValueError):
            raise InvalidArgument("metadata", "has a number that is not finite") from None
    return Document(message.id, message.title, message.text, metadata)


def document_to_proto(document: Document) -> router_pb2.Document:
    """The document with what it has."""
    message = router_pb2.Document(id=document.id, title=document.title, text=document.text)
    if document.metadata:
        metadata = struct_pb2.Struct()
        metadata.update(document.metadata)
        message.metadata.CopyFrom(metadata)
    return message


# ---- searches


def filter_from_proto(message: router_pb2.Filter, *, path: str = "filter") -> Filter:
    """The filter. Raises InvalidArgument for one without a condition; whether it can be asked is checked later."""
    match message.WhichOneof("condition"):
        case "all":
            return AllOf(_parts(message.all, f"{path}.all"))
        case "any":
            return AnyOf(_parts(message.any, f"{path}.any"))
        case "not":
            return Not(filter_from_proto(getattr(message, "not"), path=f"{path}.not"))
        case "tag":
            return TagIn(message.tag.field, tuple(message.tag.values))
        case "number":
            bounds = {
                name: getattr(message.number, name)
                for name in ("gte", "gt", "lte", "lt")
                if message.number.HasField(name)
            }
            return NumberIn(message.number.field, **bounds)
        case _:
            raise InvalidArgument(path, "has no condition")


def _parts(group: router_pb2.FilterGroup, path: str) -> tuple[Filter, ...]:
    return tuple(filter_from_proto(part, path=f"{path}.filters[{number}]") for number, part in enumerate(group.filters))


def filter_to_proto(filter: Filter) -> router_pb2.Filter:
    """The filter as a source takes it."""
    match filter:
        case AllOf(parts):
            return router_pb2.Filter(all=router_pb2.FilterGroup(filters=[filter_to_proto(part) for part in parts]))
        case AnyOf(parts):
            return router_pb2.Filter(any=router_pb2.FilterGroup(filters=[filter_to_proto(part) for part in parts]))
        case Not(inner):
            negated = router_pb2.Filter()
            getattr(negated, "not").CopyFrom(filter_to_proto(inner))
            return negated
        case TagIn(field, values):
            return router_pb2.Filter(tag=router_pb2.TagCondition(field=field, values=values))
        case NumberIn(field, gte, gt, lte, lt):
            return router_pb2.Filter(
                number=router_pb2.NumberCondition(field=field, gte=gte, gt=gt, lte=lte, lt=lt),
            )


def hit_to_proto(hit: Hit) -> router_pb2.SearchHit:
    """A result."""
    return router_pb2.SearchHit(
        document=document_to_proto(hit.document),
        collection=hit.collection,
        score=hit.score,
        stage_scores=hit.stage_scores,
    )


def degradation_to_proto(degradation: Degradation) -> router_pb2.Degradation:
    """What went otherwise than asked."""
    return router_pb2.Degradation(stage=degradation.stage, reason=degradation.reason, message=degradation.message)


def degradation_from_proto(message: router_pb2.Degradation) -> Degradation:
    """What went otherwise than asked, at a source."""
    return Degradation(message.stage, message.reason, message.message)
