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
    Content,
    Document,
    FieldType,
    Filter,
    FilterField,
    Image,
    Json,
    MultiVectors,
    Not,
    NumberIn,
    Space,
    TagIn,
    TokenDtype,
)
from searchmesh.router.query import Degradation, Hit, Mode, Route
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2

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
TOKEN_DTYPES: Mapping[TokenDtype, common_pb2.DType.ValueType] = {
    TokenDtype.INT8: common_pb2.DTYPE_INT8,
    TokenDtype.BINARY: common_pb2.DTYPE_BINARY,
}
"""The wire's value of each type of stored token vectors."""


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


# ---- content


def content_to_proto(content: Content) -> common_pb2.Content:
    """What a model is to read."""
    if isinstance(content, Image):
        return common_pb2.Content(image=image_to_proto(content))
    return common_pb2.Content(text=content)


def image_to_proto(image: Image) -> common_pb2.Image:
    """The image; without a source if its data was left in the index."""
    if image.url:
        return common_pb2.Image(url=image.url)
    return common_pb2.Image(data=image.data) if image.data else common_pb2.Image()


def image_from_proto(message: common_pb2.Image) -> Image:
    """The image as it was sent; whether it is a good one is checked later."""
    return Image(message.data, message.url)


# ---- collections


def collection_from_proto(message: router_pb2.Collection) -> Collection:
    """The definition in a request. Raises InvalidArgument for an unknown type of field or of token vectors."""
    return Collection(
        name=message.name,
        spaces=tuple(Space(space.name, space.embedder, space.dimensions) for space in message.spaces),
        language=message.language,
        filter_fields=tuple(
            FilterField(field.name, _named(f"collection.filter_fields[{number}].type", field.type, _FIELD_TYPES))
            for number, field in enumerate(message.filter_fields)
        ),
        reranker=message.reranker,
        multi_vectors=_multi_vectors_from_proto(message.multi_vectors) if message.HasField("multi_vectors") else None,
    )


def _multi_vectors_from_proto(message: router_pb2.MultiVectors) -> MultiVectors:
    for dtype, value in TOKEN_DTYPES.items():
        if value == (message.dtype or common_pb2.DTYPE_INT8):
            return MultiVectors(message.embedder, message.dimensions, dtype)
    raise InvalidArgument("collection.multi_vectors.dtype", "must be DTYPE_INT8 or DTYPE_BINARY")


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
        multi_vectors=_multi_vectors_to_proto(collection.multi_vectors),
    )


def _multi_vectors_to_proto(multi: MultiVectors | None) -> router_pb2.MultiVectors | None:
    if multi is None:
        return None
    return router_pb2.MultiVectors(
        embedder=multi.embedder, dimensions=multi.dimensions, dtype=TOKEN_DTYPES[multi.dtype]
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
    image = image_from_proto(message.image) if message.HasField("image") else None
    return Document(message.id, message.title, message.text, metadata, image)


def document_to_proto(document: Document) -> router_pb2.Document:
    """The document with what it has."""
    message = router_pb2.Document(id=document.id, title=document.title, text=document.text)
    if document.metadata:
        metadata = struct_pb2.Struct()
        metadata.update(document.metadata)
        message.metadata.CopyFrom(metadata)
    if document.image is not None:
        message.image.CopyFrom(image_to_proto(document.image))
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


def route_to_proto(route: Route) -> router_pb2.Route:
    """What was done with a vector space."""
    return router_pb2.Route(
        collection=route.collection,
        space=route.space,
        searched=route.searched,
        reason=route.reason,
        message=route.message,
    )
