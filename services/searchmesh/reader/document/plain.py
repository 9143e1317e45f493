"""Blocks as plain text: words and line ends, no markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from searchmesh.reader.document.blocks import (
    Block,
    Break,
    Code,
    Formula,
    Heading,
    Image,
    Line,
    ListBlock,
    Note,
    NoteMark,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
)
from searchmesh.reader.document.grid import grid


def plain_text(blocks: Sequence[Block]) -> Iterator[str]:
    """The text block by block, to be joined as it is."""
    separator = ""
    for block in blocks:
        if text := _block(block):
            yield f"{separator}{text}"
            separator = "\n\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(line=line) | Heading(line=line):
            return plain_line(line)
        case Code(text=text):
            return text
        case Rule():
            return ""
        case Quote(blocks=blocks):
            return "".join(plain_text(blocks))
        case ListBlock():
            return "\n".join(_items(block))
        case Table():
            return _table(block)
        case Note(label=label, blocks=blocks):
            return f"[{label}] {''.join(plain_text(blocks))}"


def _items(block: ListBlock) -> Iterator[str]:
    for number, item in enumerate(block.items, block.start):
        marker = f"{number}. " if block.ordered else "- "
        text = "\n".join(filter(None, map(_block, item.blocks)))
        yield marker + text.replace("\n", "\n" + " " * len(marker))


def _table(table: Table) -> str:
    rows = ["\t".join(plain_line(cell.line, breaks=" ") for cell in row).rstrip("\t") for row in grid(table.rows)]
    return "\n".join([*([plain_line(table.caption)] if table.caption else []), *rows])


def plain_line(line: Line, *, breaks: str = "\n") -> str:
    """One line. Images are no text."""
    parts = []
    for piece in line:
        match piece:
            case Text(text=text):
                parts.append(text)
            case Image():
                pass
            case Formula(tex=tex):
                parts.append(tex)
            case NoteMark(label=label):
                parts.append(f"[{label}]")
            case Break():
                parts.append(breaks)
    return "".join(parts)
