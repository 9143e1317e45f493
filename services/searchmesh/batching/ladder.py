"""The closed set of batch shapes.

TensorRT builds a plan for the shapes it is to meet, and a GPU provider pays for each new one, so a service sends shapes
that are known beforehand. Lengths have `steps` an octave (with 8: 64, 72, 80, …, 128, 144, …): padding is then at
most 1 / (steps + 1) of a row and about half of that on average, where powers of two alone would cost up to a half.
Rows are powers of two with one step between (1, 2, 3, 4, 6, 8, 12, …).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

_SHORTEST = 8
"""Rows shorter than this cost as much as this: below it the fixed cost of a call dominates."""

_PAD_ROWS = 1 / 8
"""Share of a batch that may be padding rows, if that saves a second, smaller call."""


class Ladder:
    """Lengths up to `max_tokens` and row counts up to `max_rows`, with rows x length ≤ `max_batch_tokens`.

    A single row of any length up to `max_tokens` always fits. Lengths are multiples of `unit`, the top one if need be
    above `max_tokens`.
    """

    def __init__(self, max_tokens: int, *, max_batch_tokens: int, max_rows: int, steps: int = 8, unit: int = 1) -> None:
        self.lengths = tuple(sorted({-(-length // unit) * unit for length in _lengths(max_tokens, steps)}))
        self.rows = tuple(_rows(max_rows))
        self.max_batch_tokens = max_batch_tokens

    def length(self, tokens: int) -> int:
        """The padded length of a row. Raises ValueError above the ladder's top."""
        step = bisect_left(self.lengths, tokens)
        if step == len(self.lengths):
            raise ValueError(f"{tokens} tokens exceed the ladder's {self.lengths[-1]}")
        return self.lengths[step]

    def most_rows(self, length: int) -> int:
        """The most rows of padded length `length` in one batch."""
        return self.rows[max(0, bisect_right(self.rows, self.max_batch_tokens // length) - 1)]

    def take(self, waiting: int, length: int) -> tuple[int, int]:
        """How many of `waiting` (≥ 1) rows to send now, and the padded row count they are sent as."""
        most = self.most_rows(length)
        if waiting >= most:
            return most, most
        above = self.rows[bisect_left(self.rows, waiting)]
        if above <= most and above - waiting <= above * _PAD_ROWS:
            return waiting, above
        below = self.rows[bisect_right(self.rows, waiting) - 1]
        return below, below

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Every (rows, length) that can occur, small ones first."""
        for length in self.lengths:
            for rows in self.rows:
                if rows <= self.most_rows(length):
                    yield rows, length


def _lengths(max_tokens: int, steps: int) -> Iterator[int]:
    octave = _SHORTEST
    while True:
        for step in range(steps):
            # Short octaves have fewer whole numbers than steps.
            length = octave + octave * step // steps
            if length >= max_tokens:
                yield max_tokens
                return
            if step == 0 or length > octave + octave * (step - 1) // steps:
                yield length
        octave *= 2


def _rows(max_rows: int) -> Iterator[int]:
    power = 1
    while power <= max_rows:
        yield power
        if power >= 2 and power + power // 2 <= max_rows:
            yield power + power // 2
        power *= 2
