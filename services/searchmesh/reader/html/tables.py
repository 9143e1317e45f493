"""Tables: which hold data and which only arrange the page, and the cells of the first kind."""

from __future__ import annotations

from itertools import islice

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Cell, Table
from searchmesh.reader.document.spacing import tidy, without_strong
from searchmesh.reader.html.vocabulary import words
from searchmesh.reader.html.writer import Closer, Writer

_BLOCKS_INSIDE = words("table pre blockquote form h1 h2 h3 article section iframe")

_MAX_CELL = 2000
"""Characters; a cell that holds more is a column of a page."""

_LOOKED_AT = 400
"""Elements that tell what a table is."""


def is_data(table: _Element) -> bool:
    """Whether the rows and columns of a table mean something."""
    if table.get("role") in ("presentation", "none"):
        return False
    first = list(islice(table.iterdescendants(), _LOOKED_AT))
    tags = {node.tag for node in first}
    if not _BLOCKS_INSIDE.isdisjoint(tags):
        return False
    if not tags.isdisjoint(("th", "caption", "thead")):
        return True
    rows = [node for node in first if node.tag == "tr"]
    widest = max((sum(cell.tag == "td" for cell in row) for row in rows), default=0)
    if len(rows) < 2 or widest < 2:
        return False
    return all(len("".join(node.itertext())) <= _MAX_CELL for node in first if node.tag == "td")


def open_table(writer: Writer, element: _Element) -> Closer:
    """``table``."""
    leave = writer.block(element)
    if writer.in_cell or not is_data(element):
        return leave
    writer.tables.append(table := Table([]))

    def close() -> None:
        writer.tables.pop()
        table.rows = [row for row in table.rows if any(cell.line for cell in row)]
        if table.rows:
            _head(table)
            writer.add(table)
        leave()

    return close


def _head(table: Table) -> None:
    """A first row that is set in strong text throughout is a header by its looks."""
    cells = [cell for cell in table.rows[0] if cell.line]
    if any(cell.header for cell in cells) or len(cells) < 2:
        return
    plain = [without_strong(cell.line) for cell in cells]
    if all(line is not cell.line for line, cell in zip(plain, cells, strict=True)):
        for line, cell in zip(plain, cells, strict=True):
            cell.line, cell.header = line, True


def open_row(writer: Writer, element: _Element) -> Closer | None:
    """``tr``."""
    if not writer.tables or writer.in_cell:
        return writer.block(element)
    writer.tables[-1].rows.append([])
    return None


def open_cell(writer: Writer, element: _Element) -> Closer:
    """``td``, ``th`` and ``caption``."""
    if not writer.tables or writer.in_cell:
        return writer.block(element)
    writer.flush()
    writer.in_cell = True
    table = writer.tables[-1]

    def close() -> None:
        writer.in_cell = False
        line, writer.line = tidy(writer.line), []
        if element.tag == "caption":
            table.caption = line
            return
        if not table.rows:
            table.rows.append([])
        cell = Cell(line, element.tag == "th", _span(element, "colspan"), _span(element, "rowspan"))
        table.rows[-1].append(cell)

    return close


def _span(cell: _Element, attribute: str) -> int:
    """At least one, and within what browsers take."""
    value = (cell.get(attribute) or "1").strip()
    return max(1, min(int(value), 1000)) if value.isascii() and value.isdecimal() and len(value) < 10 else 1
