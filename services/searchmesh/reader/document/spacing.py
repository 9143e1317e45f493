"""White space of a line as a browser would show it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from searchmesh.reader.document.blocks import Break, Inline, Line, Mark, Marks, Text

_SPACES = re.compile(r"[ \t\n\r\f\v\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\x00-\x08\x0e-\x1f\x7f]")


def visible(text: str) -> str:
    """Without characters that show nothing: soft hyphens, zero-width spaces, control characters."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub("", text)


def spaced(text: str) -> str:
    """With every run of white space as one space."""
    return _SPACES.sub(" ", text)


def tidy(pieces: Iterable[Inline]) -> list[Inline]:
    """The line with single spaces, none at its ends or around breaks, and like pieces joined."""
    tidied: list[Inline] = []
    for style, group in groupby(pieces, _style):
        if style is not None:
            _add_text(tidied, "".join([piece.text for piece in group if isinstance(piece, Text)]), *style)
            continue
        for piece in group:
            if not isinstance(piece, Break):
                tidied.append(piece)
                continue
            _trim_end(tidied)
            if tidied and not isinstance(tidied[-1], Break):
                tidied.append(piece)
    while tidied:
        _trim_end(tidied)
        if not tidied or not isinstance(tidied[-1], Break):
            return tidied
        tidied.pop()
    return tidied


def without_strong(line: Line) -> Line:
    """The line without its strong mark, if all of its text has it: what stands out anyway need not be marked."""
    texts = [piece for piece in line if isinstance(piece, Text)]
    if not texts or not all(piece.marks & Mark.STRONG for piece in texts):
        return line
    return [
        Text(piece.text, piece.marks & ~Mark.STRONG, piece.href) if isinstance(piece, Text) else piece for piece in line
    ]


def _style(piece: Inline) -> tuple[Marks, str] | None:
    """What texts that can be joined have in common."""
    return (piece.marks, piece.href) if isinstance(piece, Text) else None


def _add_text(line: list[Inline], text: str, marks: Marks, href: str) -> None:
    text = spaced(visible(text))
    last = line[-1] if line else None
    if last is None or isinstance(last, Break) or (isinstance(last, Text) and last.text.endswith(" ")):
        text = text.removeprefix(" ")
    if not text:
        return
    if isinstance(last, Text) and last.marks == marks and last.href == href:
        line[-1] = Text(last.text + text, marks, href)
    else:
        line.append(Text(text, marks, href))


def _trim_end(line: list[Inline]) -> None:
    while line and isinstance(last := line[-1], Text):
        text = last.text.rstrip(" ")
        if text:
            if text != last.text:
                line[-1] = Text(text, last.marks, last.href)
            return
        line.pop()
