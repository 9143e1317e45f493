"""The part of a text that answers a query best, as far as its words tell."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_SHORT = 3
"""Words below this length say little and are not looked for."""


def terms_of(query: str) -> list[str]:
    """The words of a query that are looked for, in lower case, each once."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(query))
    return [word for word in words if len(word) >= _SHORT] or list(words)


def highlighting(terms: list[str]) -> re.Pattern[str]:
    """Finds words that begin with one of the terms, or with the term without its ending."""
    stems = sorted({term[: max(_SHORT, len(term) - 2)] if len(term) > 4 else term for term in terms}, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, stems))})\w*" if stems else r"(?!)", re.IGNORECASE)


def snippet(text: str, terms: list[str], length: int) -> str:
    """At most `length` characters of the text on one line, from where most of the terms are."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    found = [(match.start(), match[0].lower()) for match in highlighting(terms).finditer(line)]
    start = max((begin for begin, _ in found), key=lambda begin: _distinct(found, begin, length), default=0)
    # Some context before the first word, but no empty end.
    start = max(0, min(start - length // 5, len(line) - length))
    start = line.rfind(" ", 0, start) + 1
    end = start + length
    cut = line[start:end]
    if end < len(line):
        cut = cut[: max(cut.rfind(" "), length // 2)] + " …"
    return ("… " if start else "") + cut


def _distinct(found: list[tuple[int, str]], begin: int, length: int) -> int:
    return len({word for position, word in found if begin <= position < begin + length * 4 // 5})
