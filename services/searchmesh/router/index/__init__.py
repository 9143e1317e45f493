"""The index behind one narrow protocol; engines are chosen in the service's wiring."""

from searchmesh.router.index.filters import AllOf, AnyOf, Filter, Not, NumberIn, TagIn
from searchmesh.router.index.protocol import (
    Collection,
    Content,
    Document,
    FieldType,
    FilterField,
    Image,
    Index,
    Json,
    Match,
    MultiVectors,
    Record,
    Space,
    SpaceName,
    TokenDtype,
    Vector,
)

__all__ = [
    "AllOf",
    "AnyOf",
    "Collection",
    "Content",
    "Document",
    "FieldType",
    "Filter",
    "FilterField",
    "Image",
    "Index",
    "Json",
    "Match",
    "MultiVectors",
    "Not",
    "NumberIn",
    "Record",
    "Space",
    "SpaceName",
    "TagIn",
    "TokenDtype",
    "Vector",
]
