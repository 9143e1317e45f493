"""Blocks in Markdown: CommonMark with GitHub's tables, task lists and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from searchmesh.reader.document.blocks import (
    Block,
    Cell,
    Code,
    Heading,
    Item,
    ListBlock,
    Note,
    Paragraph,
    Quote,
    Rule,
    Table,
)
from searchmesh.reader.document.grid import grid
from searchmesh.reader.document.markdown_line import markdown_line


def markdown(blocks: Sequence[Block]) -> Iterator[str]:
    """The text block by block, to be joined as it is."""
    above: Block | None = None
    for block in blocks:
        text = _block(block, alternate=above is not None and _would_join(above, block))
        yield text if above is None else f"\n\n{text}"
        above = block


def _would_join(above: Block, below: Block) -> bool:
    """Whether two lists would be read as one."""
    return isinstance(above, ListBlock) and isinstance(below, ListBlock) and above.ordered == below.ordered


def _block(block: Block, alternate: bool = False) -> str:
    match block:
        case Paragraph(line=line):
            return markdown_line(line)
        case Heading(level=level, line=line):
            # Number signs at its end would be the end of its markup.
            text = re.sub(r"(?<![^\s])#+$", r"\\\g<0>", markdown_line(line, breaks=" "))
            return f"{'#' * level} {text}"
        case Code():
            return _code(block)
        case Rule():
            return "---"
        case Quote(blocks=blocks):
            return _prefixed("".join(markdown(blocks)), "> ", "> ")
        case ListBlock():
            return _list(block, alternate)
        case Table():
            return _table(block)
        case Note(label=label, blocks=blocks):
            return _prefixed("".join(markdown(blocks)), f"[^{label}]: ", "    ")


def _prefixed(text: str, first: str, others: str) -> str:
    head, *tail = text.split("\n")
    return "\n".join([f"{first}{head}".rstrip(), *(f"{others}{line}".rstrip() for line in tail)])


def _code(code: Code) -> str:
    """Fenced by more backticks than any line of it begins with."""
    longest = max((len(run) for run in re.findall(r"^\s*(`{3,})", code.text, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{code.language}\n{code.text}\n{fence}"


def _list(block: ListBlock, alternate: bool) -> str:
    tight = all(map(_is_tight, block.items))
    lines = []
    for number, item in enumerate(block.items, block.start):
        marker = f"{number}{')' if alternate else '.'} " if block.ordered else ("* " if alternate else "- ")
        task = "" if item.checked is None else "[x] " if item.checked else "[ ] "
        text = task + ("\n".join(map(_block, item.blocks)) if tight else "".join(markdown(item.blocks)))
        lines.append(_prefixed(text, marker, " " * len(marker)))
    return ("\n" if tight else "\n\n").join(lines)


def _is_tight(item: Item) -> bool:
    """Whether the item is a line with at most a list below it: then nothing needs a blank line."""
    match item.blocks:
        case [] | [Paragraph() | ListBlock()]:
            return True
        case [Paragraph(), ListBlock() as nested]:
            # A list that interrupts a paragraph must count from one.
            return (not nested.ordered or nested.start == 1) and all(map(_is_tight, nested.items))
    return False


def _table(table: Table) -> str:
    rows = grid(table.rows)
    if not rows:
        return ""
    headed = any(cell.header for cell in table.rows[0])
    head = rows.pop(0) if headed else [Cell(())] * len(rows[0])
    lines = [_row(head), f"|{' --- |' * len(head)}", *map(_row, rows)]
    if table.caption:
        lines[:0] = [markdown_line(table.caption, breaks=" "), ""]
    return "\n".join(lines)


def _row(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(cell: Cell) -> str:
    # Inside a table a bar ends the cell even in code, unless it is escaped.
    return markdown_line(cell.line, breaks="<br>").replace("|", r"\|")
