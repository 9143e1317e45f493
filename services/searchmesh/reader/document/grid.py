"""A table as a rectangle: every cell in the columns that a browser shows it in."""

from __future__ import annotations

from collections.abc import Sequence

from searchmesh.reader.document.blocks import Cell

_EMPTY = Cell(())

MAX_COLUMNS = 200
"""Wider tables are cut: spans can claim any width, and no text is read in so many columns."""


def grid(rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Rows of equal length. A cell stands in the first column of its first row, the rest of its span is empty."""
    reserved: dict[int, int] = {}
    filled: list[list[Cell]] = []
    for row in rows:
        line: list[Cell] = []
        for cell in row:
            _skip(line, reserved)
            if cell.rows > 1:
                reserved |= dict.fromkeys(range(len(line), len(line) + cell.columns), cell.rows)
            line += [cell, *[_EMPTY] * (cell.columns - 1)]
        _skip(line, reserved)
        filled.append(line[:MAX_COLUMNS])
        reserved = {column: left - 1 for column, left in reserved.items() if left > 1}
    width = max(map(len, filled), default=0)
    return [line + [_EMPTY] * (width - len(line)) for line in filled]


def _skip(line: list[Cell], reserved: dict[int, int]) -> None:
    """Leave out the columns that cells of rows above reach into."""
    while reserved.get(len(line), 0) and len(line) < MAX_COLUMNS:
        line.append(_EMPTY)
