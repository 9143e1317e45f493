"""A page cut into fragments between which it may be divided, and fragments put together to chunks.

Every character of the page's text is in exactly one fragment. A fragment carries the elements that it was taken out of
as far as they mean something (a table, a list), so that a chunk that begins in the middle of a table is a table.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from lxml import etree
from lxml.html import HtmlElement

from searchmesh.reader.html.vocabulary import words

_WRAPPERS = words("table thead tbody tfoot tr ul ol dl blockquote pre li dd section article")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Wrapper:
    """An element around fragments; `number` tells it from others with the same tag."""

    number: int
    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of HTML and the elements around it, from the outside in."""

    html: str
    around: tuple[Wrapper, ...] = ()


def fragments(root: HtmlElement, most_bytes: int) -> Iterator[Fragment]:
    """The body in fragments of at most `most_bytes` (without what is around them), in order."""
    numbers = count()
    # Each entry is a node to divide, or text that stands between nodes; the last is next.
    waiting: list[tuple[HtmlElement | str, tuple[Wrapper, ...]]] = [(root, ())]
    while waiting:
        node, around = waiting.pop()
        if isinstance(node, str):
            yield from (Fragment(part, around) for part in _divided(node, most_bytes))
            continue
        written = etree.tostring(node, encoding="unicode", method="html", with_tail=False)
        if len(written.encode()) <= most_bytes and node.tag not in ("html", "body"):
            yield Fragment(written, around)
            continue
        inside = (*around, _wrapper(node, next(numbers))) if node.tag in _WRAPPERS else around
        parts: list[HtmlElement | str] = [html.escape(node.text, quote=False)] if node.text else []
        for child in node:
            parts.append(child)
            if child.tail:
                parts.append(html.escape(child.tail, quote=False))
        waiting += [(part, inside) for part in reversed(parts)]


def _wrapper(node: HtmlElement, number: int) -> Wrapper:
    return Wrapper(number, f"<{node.tag!s}>", f"</{node.tag!s}>")


def _divided(text: str, most_bytes: int) -> Iterator[str]:
    """Text in parts, after sentences where it has any, else anywhere."""
    part = ""
    for sentence in _pieces(text, most_bytes):
        if part and len((part + sentence).encode()) > most_bytes:
            yield part
            part = ""
        part += sentence
    if part.strip():
        yield part


def _pieces(text: str, most_bytes: int) -> Iterator[str]:
    start = 0
    for end in [*(found.end() for found in _SENTENCE.finditer(text)), len(text)]:
        # A character has at most four bytes.
        for first in range(start, end, most_bytes // 4):
            yield text[first : min(end, first + most_bytes // 4)]
        start = end


def chunks(pieces: Sequence[Fragment], tokens: Sequence[int], most_tokens: int) -> list[str]:
    """The fragments put together to chunks of HTML with at most `most_tokens`, not counting what is around them."""
    groups: list[list[Fragment]] = []
    size = 0
    for piece, needed in zip(pieces, tokens, strict=True):
        if not groups or size + needed > most_tokens:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += needed
    return ["".join(_joined(group)) for group in groups]


def _joined(group: Sequence[Fragment]) -> Iterator[str]:
    opened: tuple[Wrapper, ...] = ()
    for piece in group:
        shared = 0
        while shared < min(len(opened), len(piece.around)) and opened[shared] == piece.around[shared]:
            shared += 1
        yield from (wrapper.closing for wrapper in reversed(opened[shared:]))
        yield from (wrapper.opening for wrapper in piece.around[shared:])
        opened = piece.around
        yield piece.html
    yield from (wrapper.closing for wrapper in reversed(opened))
