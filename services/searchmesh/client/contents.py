"""Texts and images, as callers give them and as the wire has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2


@dataclass(frozen=True, slots=True)
class Image:
    """An image file (PNG, JPEG, WebP or GIF), or the URL of one, which the service fetches if it is allowed to."""

    data: bytes = b""
    url: str = ""

    @classmethod
    def from_file(cls, path: Path | str) -> Image:
        """The content of a file. Raises OSError if it cannot be read."""
        return cls(Path(path).read_bytes())

    @classmethod
    def from_proto(cls, message: common_pb2.Image) -> Image:
        """From the wire."""
        return cls(message.data, message.url)

    def to_proto(self) -> common_pb2.Image:
        """For the wire. Raises InvalidArgument for one without, or with both."""
        if bool(self.data) == bool(self.url):
            raise InvalidArgument("image", "needs either data or url")
        return common_pb2.Image(url=self.url) if self.url else common_pb2.Image(data=self.data)


Content: TypeAlias = str | Image


def content_of(content: Content) -> common_pb2.Content:
    """For the wire."""
    if isinstance(content, Image):
        return common_pb2.Content(image=content.to_proto())
    return common_pb2.Content(text=content)


def contents_of(field: str, contents: Sequence[Content]) -> list[common_pb2.Content]:
    """For the wire. Raises InvalidArgument, naming the field, for one string in place of a list."""
    if isinstance(contents, str):
        raise InvalidArgument(field, "is one string; send a list")
    return [content_of(content) for content in contents]
