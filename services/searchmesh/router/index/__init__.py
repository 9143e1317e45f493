"""The index behind one narrow protocol; engines are chosen in the service's wiring."""

from searchmesh.router.index.filters import AllOf, AnyOf, Filter, Not, NumberIn, TagIn
from searchmesh.router.index.protocol import (
    Collection,
    Document,
    FieldType,
    FilterField,
    Index,
    Json,
    Match,
    Record,
    Space,
    Vector,
)

__all__ = [
    "AllOf",
    "AnyOf",
    "Collection",
    "Document",
    "FieldType",
    "Filter",
    "FilterField",
    "Index",
    "Json",
    "Match",
    "Not",
    "NumberIn",
    "Record",
    "Space",
    "TagIn",
    "Vector",
]
