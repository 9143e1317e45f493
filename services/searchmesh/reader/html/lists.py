"""Lists, tasks and definitions."""

from __future__ import annotations

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Item, ListBlock, Mark, Paragraph, Text
from searchmesh.reader.html.writer import Closer, Writer


def open_list(writer: Writer, element: _Element) -> Closer:
    """``ul``, ``ol`` and ``dl``."""
    start = element.get("start") or "1"
    first = int(start) if start.isascii() and start.isdecimal() and len(start) < 10 else 1
    return writer.nested(element, ListBlock(element.tag == "ol", first))


def open_item(writer: Writer, element: _Element) -> Closer:
    """``li``; in a cell of a table, which holds no lists, a line with a bullet."""
    if writer.in_cell:
        leave = writer.block(element)
        writer.write("• ")
        return leave
    if writer.items is None:
        return writer.block(element)
    writer.flush()
    writer.items.items.append(item := Item())
    return writer.into(element, item.blocks)


def open_checkbox(writer: Writer, element: _Element) -> None:
    """A box at the start of an item makes it a task."""
    item = writer.item
    if item is not None and not item.blocks and not writer.line:
        item.checked = "checked" in element.attrib


def open_term(writer: Writer, element: _Element) -> Closer:
    """``dt``: a line of strong text that begins an item, or follows other terms of the same item."""
    if writer.items is None:
        leave = writer.block(element)
    else:
        writer.flush()
        items = writer.items.items
        if not items or not _has_terms_alone(items[-1]):
            items.append(Item())
        leave = writer.into(element, items[-1].blocks)
    unmark = writer.mark(Mark.STRONG)

    def close() -> None:
        leave()
        unmark()

    return close


def open_description(writer: Writer, element: _Element) -> Closer:
    """``dd``: goes on with the item of its term."""
    if writer.items is None:
        return writer.block(element)
    writer.flush()
    items = writer.items.items
    if not items:
        items.append(Item())
    return writer.into(element, items[-1].blocks)


def _has_terms_alone(item: Item) -> bool:
    return all(
        isinstance(block, Paragraph)
        and all(isinstance(piece, Text) and bool(piece.marks & Mark.STRONG) for piece in block.line)
        for block in item.blocks
    )
