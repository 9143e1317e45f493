"""Documents, and the progress of indexing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2

from searchmesh.client.contents import Image
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2


@dataclass(frozen=True)
class Document:
    """What is indexed and found."""

    id: str
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values. Whole numbers come back as int: the wire has one type of number."""
    image: Image | None = None
    """Of a hit whose data did not fit into the answer: one with neither data nor URL."""

    @classmethod
    def from_proto(cls, message: router_pb2.Document) -> Document:
        """From the wire."""
        metadata = {key: _plain(value) for key, value in message.metadata.fields.items()}
        image = Image.from_proto(message.image) if message.HasField("image") else None
        return cls(message.id, message.text, message.title, metadata, image)


def document_proto(position: int, document: Document | Mapping[str, Any]) -> router_pb2.Document:
    """A document for the wire. Raises InvalidArgument, naming the position, for what no document can be."""
    if isinstance(document, Document):
        values: Mapping[str, Any] = {name: getattr(document, name) for name in _FIELDS}
    else:
        values = document
        if unknown := values.keys() - _FIELDS:
            raise InvalidArgument(
                f"documents[{position}]", f"has no field {', '.join(sorted(map(str, unknown)))}; put it into metadata"
            )
    for name in ("id", "title", "text"):
        if not isinstance(values.get(name, ""), str):
            raise InvalidArgument(f"documents[{position}].{name}", f"{name} must be a string")
    metadata = values.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InvalidArgument(f"documents[{position}].metadata", "metadata must be an object")
    try:
        return router_pb2.Document(
            id=values.get("id", ""),
            title=values.get("title", ""),
            text=values.get("text", ""),
            metadata=json_format.ParseDict(dict(metadata), struct_pb2.Struct()),
            image=_image(position, values.get("image")),
        )
    except UnicodeEncodeError:
        raise InvalidArgument(f"documents[{position}]", "has text that is not valid Unicode") from None
    except (TypeError, ValueError, json_format.ParseError):
        raise InvalidArgument(
            f"documents[{position}].metadata", "metadata has a value that JSON does not know"
        ) from None


_FIELDS = frozenset({"id", "title", "text", "metadata", "image"})


def _image(position: int, image: Any) -> common_pb2.Image | None:
    """An `Image`, or the URL of one."""
    image = Image(url=image) if isinstance(image, str) and image else image or None
    if image is None:
        return None
    if not isinstance(image, Image):
        raise InvalidArgument(f"documents[{position}].image", "image must be an Image or a URL")
    try:
        return image.to_proto()
    except InvalidArgument as error:
        raise InvalidArgument(f"documents[{position}].image", f"image {error.problem}") from None


def _plain(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return {key: _plain(item) for key, item in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case _:
            return None


@dataclass(frozen=True, slots=True)
class DocumentError:
    """A document that could not be indexed."""

    position: int
    """In the documents that were sent, from 0."""
    id: str
    code: str
    """Name of a gRPC status code, such as ``INVALID_ARGUMENT``."""
    message: str


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far indexing is. Counts are totals since its start, also over a stream that was cut and resumed."""

    acknowledged: int = 0
    """Documents, from the first, that are done (indexed, unchanged or failed) without a gap."""
    indexed: int = 0
    unchanged: int = 0
    """Already there with the same content."""
    failed: int = 0
    truncated: int = 0
    """Cut to the embedder's limit for their vector; the lexical index has the whole text."""
    errors: tuple[DocumentError, ...] = ()
    """Failures since the previous progress."""

    def plus(self, message: router_pb2.IndexProgress, base: int) -> IndexProgress:
        """These totals with what the stream that began at document `base` has done so far."""
        return IndexProgress(
            acknowledged=base + message.acknowledged,
            indexed=self.indexed + message.indexed,
            unchanged=self.unchanged + message.unchanged,
            failed=self.failed + message.failed,
            truncated=self.truncated + message.truncated,
            errors=tuple(
                DocumentError(base + error.position, error.id, _code_name(error.code), error.message)
                for error in message.errors
            ),
        )


_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def _code_name(code: int) -> str:
    return _CODE_NAMES.get(code, "UNKNOWN")
