"""What embedding and reranking requests have in common: checks before any work, and enums to domain words."""

from __future__ import annotations

from collections.abc import Sequence

from searchmesh.batching import Lane
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.text import Truncation
from searchmesh.v1 import common_pb2

_TRUNCATIONS: dict[int, Truncation] = {
    common_pb2.TRUNCATION_REFUSE: Truncation.REFUSE,
    common_pb2.TRUNCATION_END: Truncation.END,
    common_pb2.TRUNCATION_START: Truncation.START,
}


def check_texts(field: str, contents: Sequence[common_pb2.Content], settings: EncodingSettings) -> list[str]:
    """The texts of a repeated field. Raises InvalidArgument for none, too many, or one that is no usable text."""
    if not contents:
        raise InvalidArgument(field, "is empty; send at least one")
    if len(contents) > settings.max_inputs:
        raise InvalidArgument(field, f"has {len(contents)} entries, the limit is {settings.max_inputs}")
    return [check_text(f"{field}[{position}]", content, settings) for position, content in enumerate(contents)]


def check_text(field: str, content: common_pb2.Content, settings: EncodingSettings) -> str:
    """The text of one content. Raises InvalidArgument if it is an image, empty, or too long to be tokenised."""
    match content.WhichOneof("content"):
        case "image":
            raise InvalidArgument(f"{field}.image", "no model of this service reads images")
        case None:
            raise InvalidArgument(field, "has neither text nor image")
    text = content.text
    if not text or text.isspace():
        raise InvalidArgument(f"{field}.text", "is empty")
    # A character has at most four bytes, so most texts need no second look.
    if 4 * len(text) > settings.max_text_bytes and (size := len(text.encode())) > settings.max_text_bytes:
        raise InvalidArgument(f"{field}.text", f"has {size} bytes, the limit is {settings.max_text_bytes}")
    return text


def lane_of(lane: int) -> Lane:
    """The lane of a request; interactive if it names none."""
    return Lane.BULK if lane == common_pb2.LANE_BULK else Lane.INTERACTIVE


def truncation_of(truncation: int, default: Truncation) -> Truncation:
    """The truncation of a request; `default` if it names none."""
    return _TRUNCATIONS.get(truncation, default)
