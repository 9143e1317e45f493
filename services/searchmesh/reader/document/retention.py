"""Links and images of a text: listed, and kept as far as they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from searchmesh.reader.document.blocks import Block, Code, Image, Inline, Leaf, Line, Table, Text, leaves, lines
from searchmesh.reader.document.pruning import pruned
from searchmesh.reader.document.spacing import tidy
from searchmesh.reader.options import Retention
from searchmesh.reader.page import Reference


def link_references(blocks: Sequence[Block]) -> tuple[Reference, ...]:
    """Every address that the text links to, once, in order, with the words of its first link."""
    found: dict[str, str] = {}
    for line in _lines(blocks):
        for href, pieces in groupby(line, lambda piece: piece.href if isinstance(piece, Text | Image) else ""):
            if href:
                found.setdefault(href, " ".join("".join(map(_words, pieces)).split()))
    return tuple(Reference(url, words) for url, words in found.items())


def _words(piece: Inline) -> str:
    return piece.text if isinstance(piece, Text) else piece.alt if isinstance(piece, Image) else ""


def image_references(blocks: Sequence[Block]) -> tuple[Reference, ...]:
    """Every image of the text once, in order."""
    found: dict[str, str] = {}
    for line in _lines(blocks):
        for piece in line:
            if isinstance(piece, Image):
                found.setdefault(piece.url, piece.alt)
    return tuple(Reference(url, alt) for url, alt in found.items())


def _lines(blocks: Sequence[Block]) -> Iterator[Line]:
    for leaf in leaves(blocks):
        yield from lines(leaf)


def retained(blocks: list[Block], links: Retention, images: Retention) -> list[Block]:
    """The blocks with no more of links and images than is wanted. Changes their lines."""
    if links is Retention.ALL and images is Retention.ALL:
        return blocks
    for leaf in leaves(blocks):
        _retain(leaf, links, images)
    return pruned(blocks, lambda leaf: isinstance(leaf, Code) or any(lines(leaf)))


def _retain(leaf: Leaf, links: Retention, images: Retention) -> None:
    if isinstance(leaf, Code):
        return
    if isinstance(leaf, Table):
        leaf.caption = tidy(_kept(leaf.caption, links, images))
        for row in leaf.rows:
            for cell in row:
                cell.line = tidy(_kept(cell.line, links, images))
    else:
        leaf.line = tidy(_kept(leaf.line, links, images))


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
