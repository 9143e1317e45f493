"""Texts as words, to compare them by."""

from __future__ import annotations

import re

_LONGEST = 32
"""Letters and digits of a word; a longer run is several. A model that goes round in circles may never end one."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han
)
"""Scripts that put no space between words: each letter counts as one."""

_WORD = re.compile(rf"(?=\w)[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w){{1,{_LONGEST}}}")


def words(text: str) -> list[str]:
    """In lower case, in order."""
    return _WORD.findall(text.lower())


def words_of(text: str) -> str:
    """The words with a space around each."""
    return f" {' '.join(words(text))} "


def settled(text: str) -> tuple[list[str], str]:
    """The words of a text that goes on, and its end as far as that may be the beginning of another word."""
    text = text.lower()
    found = list(_WORD.finditer(text))
    if found and found[-1].end() == len(text):
        return [each.group() for each in found[:-1]], text[found[-1].start() :]
    return [each.group() for each in found], ""
