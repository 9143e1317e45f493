"""Marks of a line as Markdown's delimiters, where Markdown would read them as such."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from searchmesh.reader.document.blocks import Image, Inline, Mark, Marks, Text

_DELIMITERS = {Mark.STRIKE: "~~", Mark.STRONG: "**", Mark.EMPHASIS: "*"}

_DELIMITED = Mark.STRIKE | Mark.STRONG | Mark.EMPHASIS


@dataclass(frozen=True, slots=True)
class _Span:
    piece: Inline
    marks: Marks
    """Of those that have delimiters."""
    written: str
    """The piece in Markdown, without delimiters."""


def with_delimiters(pieces: Sequence[Inline], write: Callable[[Inline], str]) -> str:
    """The pieces as `write` writes each, with delimiters around those that are marked.

    A mark that CommonMark would not read as one, such as strong quotes that touch a letter, is left out.
    """
    if not any(isinstance(piece, Text) and piece.marks for piece in pieces):
        return _unmarked(pieces, write)
    spans = _spans(pieces, write)
    out: list[str] = []
    opened: list[Marks] = []
    for position, span in enumerate(spans):
        while opened and not all(span.marks & mark for mark in opened):
            out.append(_DELIMITERS[opened.pop()])
        wanted = [mark for mark in _DELIMITERS if span.marks & mark and mark not in opened]
        ends = {mark: _end(spans, position, mark) for mark in wanted}
        before = out[-1][-1] if out else " "
        for mark in sorted(wanted, key=lambda mark: -ends[mark]):
            alone = not opened and len(wanted) == 1
            if _is_read(before, spans, position, ends[mark], alone=alone):
                out.append(_DELIMITERS[mark])
                opened.append(mark)
        append(out, span.written, is_image=isinstance(span.piece, Image))
    out += [_DELIMITERS[mark] for mark in reversed(opened)]
    return "".join(out)


def _unmarked(pieces: Sequence[Inline], write: Callable[[Inline], str]) -> str:
    out: list[str] = []
    for piece in pieces:
        append(out, write(piece), is_image=isinstance(piece, Image))
    return "".join(out)


def _spans(pieces: Sequence[Inline], write: Callable[[Inline], str]) -> list[_Span]:
    """Pieces with the spaces at their ends apart; a space is marked as far as both of its neighbours are."""
    apart: list[Inline] = []
    for piece in pieces:
        apart += _apart(piece) if isinstance(piece, Text) else [piece]
    marks = [_marks(piece) for piece in apart]
    for position, piece in enumerate(apart):
        if isinstance(piece, Text) and piece.text.isspace():
            before = marks[position - 1] if position else Mark.NONE
            after = marks[position + 1] if position + 1 < len(apart) else Mark.NONE
            marks[position] = before & after
    return [_Span(piece, mark, written) for piece, mark in zip(apart, marks, strict=True) if (written := write(piece))]


def _apart(piece: Text) -> list[Inline]:
    inner = piece.text.strip()
    if not inner or len(inner) == len(piece.text):
        return [piece]
    start = piece.text.index(inner)
    parts = (piece.text[:start], inner, piece.text[start + len(inner) :])
    return [Text(part, piece.marks, piece.href) for part in parts if part]


def _marks(piece: Inline) -> Marks:
    return piece.marks & _DELIMITED if isinstance(piece, Text) else Mark.NONE


def _end(spans: Sequence[_Span], start: int, mark: Marks) -> int:
    """Position after the last span in a row that has the mark."""
    end = start + 1
    while end < len(spans) and spans[end].marks & mark:
        end += 1
    return end


def append(out: list[str], text: str, *, is_image: bool) -> None:
    """Add text to a line. An exclamation mark before a bracket would make an image of it."""
    if text.startswith("[") and not is_image and out and out[-1].endswith("!"):
        out[-1] = f"{out[-1][:-1]}\\!"
    out.append(text)


def _is_read(before: str, spans: Sequence[_Span], start: int, end: int, *, alone: bool) -> bool:
    """Whether delimiters around these spans open and close emphasis: CommonMark's left- and right-flanking runs.

    Beside a letter or a sign a run may do either. What it does is clear where it stands `alone`, and a matter of
    counting asterisks where marks are nested: there, only space is beside them.
    """
    after = spans[end].written[0] if end < len(spans) else " "
    first, last = spans[start].written[0], spans[end - 1].written[-1]
    if before in "*~" or first in "*~" or last in "*~\\" or after in "*~":
        return False
    if not alone and not (before.isspace() and after.isspace()):
        return False
    return _flanks(before, first) and _flanks(after, last)


def _flanks(outer: str, inner: str) -> bool:
    return not inner.isspace() and (not _is_punctuation(inner) or outer.isspace() or _is_punctuation(outer))


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
