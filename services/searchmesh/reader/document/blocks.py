"""What a page says, without its looks: blocks of text, and the pieces a line of text is made of.

Lines are flat: a piece of text carries all its marks and its link, so that no nesting is ever too deep. Blocks nest
in quotes, list items and notes alone, and whoever builds them keeps that below `MAX_NESTING`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

MAX_NESTING = 12
"""Quotes and lists inside one another. Deeper ones join the one they are in: no reader could tell them apart."""


class Mark:
    """Ways in which a piece of text is set apart, put together with ``|``.

    Plain numbers: with an IntFlag, half of the time of writing Markdown went into its operators.
    """

    NONE = 0
    STRONG = 1
    EMPHASIS = 2
    STRIKE = 4
    CODE = 8
    SUBSCRIPT = 16
    SUPERSCRIPT = 32


Marks: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    marks: Marks = Mark.NONE
    href: str = ""
    """Where it links to; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    alt: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Formula:
    """TeX, without delimiters."""

    tex: str
    display: bool = False
    """Set on lines of its own."""


@dataclass(frozen=True, slots=True)
class NoteMark:
    """Points to a note."""

    label: str


@dataclass(frozen=True, slots=True)
class Break:
    """The line ends here, the paragraph does not."""


Inline: TypeAlias = Text | Image | Formula | NoteMark | Break
Line: TypeAlias = Sequence[Inline]
"""Tidy, as `spacing.tidy` leaves it."""


@dataclass(slots=True)
class Paragraph:
    line: Line


@dataclass(slots=True)
class Heading:
    level: int
    line: Line


@dataclass(slots=True)
class Code:
    text: str
    language: str = ""


@dataclass(slots=True)
class Rule:
    """A break between topics."""


@dataclass(slots=True)
class Quote:
    blocks: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Item:
    blocks: list[Block] = field(default_factory=list)
    checked: bool | None = None
    """Of a task list; None: not a task."""


@dataclass(slots=True)
class ListBlock:
    ordered: bool
    start: int = 1
    items: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Cell:
    line: Line
    header: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class Table:
    rows: list[list[Cell]]
    caption: Line = ()


@dataclass(slots=True)
class Note:
    """A footnote; `NoteMark`s of its label point to it."""

    label: str
    blocks: list[Block] = field(default_factory=list)


Block: TypeAlias = Paragraph | Heading | Code | Rule | Quote | ListBlock | Table | Note
Leaf: TypeAlias = Paragraph | Heading | Code | Table
"""Blocks that hold text themselves."""


def leaves(blocks: Sequence[Block]) -> Iterator[Leaf]:
    """All blocks with text of their own, in order."""
    for block in blocks:
        match block:
            case Quote() | Note():
                yield from leaves(block.blocks)
            case ListBlock():
                for item in block.items:
                    yield from leaves(item.blocks)
            case Rule():
                pass
            case _:
                yield block


def lines(leaf: Leaf) -> Iterator[Line]:
    """The lines of a leaf; none for code."""
    match leaf:
        case Paragraph() | Heading():
            yield leaf.line
        case Table():
            yield leaf.caption
            for row in leaf.rows:
                for cell in row:
                    yield cell.line


def text_of(line: Line) -> str:
    """The words of a line, without anything else."""
    return "".join(piece.text if isinstance(piece, Text) else " " for piece in line)
