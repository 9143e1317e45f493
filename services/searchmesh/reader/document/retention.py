"""Links and images of a text: listed, and kept as far as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from searchmesh.reader.document.blocks import Block, Code, Image, Inline, Leaf, Line, Table, Text, leaves, lines
from searchmesh.reader.options import Retention
from searchmesh.reader.page import Reference


def link_references(blocks: Sequence[Block]) -> tuple[Reference, ...]:
    """Every address that the text links to, once, in order, with the words of its first link."""
    found: dict[str, list[str]] = {}
    for piece in _pieces(blocks):
        if isinstance(piece, Text | Image) and piece.href:
            words = piece.text if isinstance(piece, Text) else piece.alt
            found.setdefault(piece.href, []).append(words)
    return tuple(Reference(url, " ".join("".join(words).split())) for url, words in found.items())


def image_references(blocks: Sequence[Block]) -> tuple[Reference, ...]:
    """Every image of the text once, in order."""
    found: dict[str, str] = {}
    for piece in _pieces(blocks):
        if isinstance(piece, Image):
            found.setdefault(piece.url, piece.alt)
    return tuple(Reference(url, alt) for url, alt in found.items())


def _pieces(blocks: Sequence[Block]) -> Iterator[Inline]:
    for leaf in leaves(blocks):
        for line in lines(leaf):
            yield from line


def retain(blocks: Sequence[Block], links: Retention, images: Retention) -> None:
    """Change the lines of the blocks so that they have no more of links and images than is wanted."""
    if links is Retention.ALL and images is Retention.ALL:
        return
    for leaf in leaves(blocks):
        _retain(leaf, links, images)


def _retain(leaf: Leaf, links: Retention, images: Retention) -> None:
    if isinstance(leaf, Code):
        return
    if isinstance(leaf, Table):
        leaf.caption = list(_kept(leaf.caption, links, images))
        for row in leaf.rows:
            for cell in row:
                cell.line = list(_kept(cell.line, links, images))
    else:
        leaf.line = list(_kept(leaf.line, links, images))


def _kept(line: Line, links: Retention, images: Retention) -> Iterator[Inline]:
    for piece in line:
        if isinstance(piece, Text | Image) and piece.href and links is not Retention.ALL:
            if links is Retention.NONE and isinstance(piece, Text):
                continue
            piece = replace(piece, href="")
        if not isinstance(piece, Image) or images is Retention.ALL:
            yield piece
        elif images is Retention.TEXT and piece.alt:
            yield Text(piece.alt, href=piece.href)
