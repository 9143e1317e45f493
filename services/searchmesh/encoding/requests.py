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


def check_contents(
    field: str, contents: Sequence[common_pb2.Content], settings: EncodingSettings
) -> list[str | common_pb2.Image]:
    """The texts and images of a repeated field. Raises InvalidArgument for none, too many, or an unusable one."""
    if not contents:
        raise InvalidArgument(field, "is empty; send at least one")
    if len(contents) > settings.max_inputs:
        raise InvalidArgument(field, f"has {len(contents)} entries, the limit is {settings.max_inputs}")
    if (images := sum(content.HasField("image") for content in contents)) > settings.max_images:
        raise InvalidArgument(field, f"has {images} images, the limit is {settings.max_images}")
    return [check_content(f"{field}[{position}]", content, settings) for position, content in enumerate(contents)]


def check_content(field: str, content: common_pb2.Content, settings: EncodingSettings) -> str | common_pb2.Image:
    """A text or an image. Raises InvalidArgument if it is empty, or a text too long to be tokenised; an image's bytes
    are checked by who reads them.
    """
    match content.WhichOneof("content"):
        case "image":
            if content.image.WhichOneof("source") is None:
                raise InvalidArgument(f"{field}.image", "has neither data nor url")
            return content.image
        case None:
            raise InvalidArgument(field, "has neither text nor image")
    text = content.text
    if not text or text.isspace():
        raise InvalidArgument(f"{field}.text", "is empty")
    # A character has at most four bytes, so most texts need no second look.
    if 4 * len(text) > settings.max_text_bytes and (size := len(text.encode())) > settings.max_text_bytes:
        raise InvalidArgument(f"{field}.text", f"has {size} bytes, the limit is {settings.max_text_bytes}")
    return text


def only_text(field: str, content: str | common_pb2.Image) -> str:
    """The content of a request to a model without images. Raises InvalidArgument for an image."""
    if not isinstance(content, str):
        raise InvalidArgument(f"{field}.image", "is given to a model that reads no images")
    return content


def lane_of(lane: int) -> Lane:
    """The lane of a request; interactive if it names none."""
    return Lane.BULK if lane == common_pb2.LANE_BULK else Lane.INTERACTIVE


def truncation_of(truncation: int, default: Truncation) -> Truncation:
    """The truncation of a request; `default` if it names none."""
    return _TRUNCATIONS.get(truncation, default)
