"""What comes back: the results, and what the headers of a response say."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import httpcore

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]+)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Opened:
    """A response whose body is still to be read."""

    url: str
    """Where it came from, after redirects."""
    content_type: str
    """Lower case, without parameters; ``application/octet-stream`` if the server said nothing."""
    charset: str | None
    """As the server said, lower case."""
    chunks: AsyncIterator[bytes]
    """The decoded body."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response, whole. Fields as in `Opened`."""

    url: str
    content_type: str
    charset: str | None
    body: bytes


class Headers:
    """Of a response. Of a header that is repeated the first counts."""

    def __init__(self, response: httpcore.Response) -> None:
        self._values: dict[str, str] = {}
        for name, value in response.headers:
            self._values.setdefault(name.decode("latin-1").lower(), _text(value).strip())

    @property
    def content_type(self) -> str:
        """The media type."""
        return self._values.get("content-type", "").partition(";")[0].strip().lower() or "application/octet-stream"

    @property
    def charset(self) -> str | None:
        """The charset parameter."""
        match = _CHARSET.search(self._values.get("content-type", ""))
        return match[1].lower() if match else None

    @property
    def content_length(self) -> int:
        """Bytes of the body as sent; 0 if the server does not say."""
        text = self._values.get("content-length", "")
        return int(text) if text.isdecimal() and len(text) < 20 else 0

    @property
    def content_encoding(self) -> str:
        """Lower case, empty if there is none."""
        return self._values.get("content-encoding", "").lower()

    @property
    def location(self) -> str:
        """Where a redirect leads, empty if it does not say."""
        return self._values.get("location", "")


def _text(value: bytes) -> str:
    """The standard says Latin-1, servers say UTF-8, in Location above all."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def accepted(content_type: str, accept: Sequence[str]) -> bool:
    """Whether a media type is one of those listed; ``*`` stands for anything."""
    return any(fnmatchcase(content_type, pattern) for pattern in accept)
