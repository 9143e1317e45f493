"""White space of a line as a browser would show it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from searchmesh.reader.document.blocks import Break, Inline, Text

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
    for piece in pieces:
        if isinstance(piece, Text):
            _add_text(tidied, piece)
        elif isinstance(piece, Break):
            _trim_end(tidied)
            if tidied and not isinstance(tidied[-1], Break):
                tidied.append(piece)
        else:
            tidied.append(piece)
    while tidied:
        _trim_end(tidied)
        if not tidied or not isinstance(tidied[-1], Break):
            return tidied
        tidied.pop()
    return tidied


def _add_text(line: list[Inline], piece: Text) -> None:
    text = spaced(visible(piece.text))
    last = line[-1] if line else None
    if last is None or isinstance(last, Break) or (isinstance(last, Text) and last.text.endswith(" ")):
        text = text.removeprefix(" ")
    if not text:
        return
    if isinstance(last, Text) and last.marks == piece.marks and last.href == piece.href:
        line[-1] = Text(last.text + text, piece.marks, piece.href)
    else:
        line.append(Text(text, piece.marks, piece.href))


def _trim_end(line: list[Inline]) -> None:
    while line and isinstance(last := line[-1], Text):
        text = last.text.rstrip(" ")
        if text:
            if text != last.text:
                line[-1] = Text(text, last.marks, last.href)
            return
        line.pop()
