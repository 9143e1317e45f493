"""Blocks with some of their leaves taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from searchmesh.reader.document.blocks import (
    Block,
    Item,
    Leaf,
    ListBlock,
    Note,
    NoteMark,
    Quote,
    Rule,
    leaves,
    lines,
)


def pruned(blocks: Sequence[Block], keep: Callable[[Leaf], bool]) -> list[Block]:
    """The blocks with the leaves that are kept; quotes, lists and rules that have nothing left go with the others."""
    left: list[Block] = []
    for block in blocks:
        match block:
            case Quote():
                if inside := pruned(block.blocks, keep):
                    left.append(Quote(inside))
            case ListBlock():
                items = [Item(inside, item.checked) for item in block.items if (inside := pruned(item.blocks, keep))]
                if items:
                    left.append(replace(block, items=items))
            case Rule():
                if left and not isinstance(left[-1], Rule):
                    left.append(block)
            case Note():
                left.append(block)
            case _:
                if keep(block):
                    left.append(block)
    while left and isinstance(left[-1], Rule):
        left.pop()
    return left


def with_notes(blocks: list[Block], notes: Sequence[Note]) -> list[Block]:
    """The blocks, and after them the notes that they point to."""
    wanted = {
        piece.label for leaf in leaves(blocks) for line in lines(leaf) for piece in line if isinstance(piece, NoteMark)
    }
    return [*blocks, *(note for note in notes if note.label in wanted)]
