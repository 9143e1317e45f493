"""Whether a model invents: what of its text the page says."""

from __future__ import annotations

import re

from searchmesh.text.words import words

_LINK_TARGET = re.compile(r"\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")


def fidelity(page_words: str, output: str) -> float:
    """The share of the output's word trigrams that the page has, 0 to 1.

    An output of fewer than three words is measured by its words. What links lead to is left out: the page has it in
    another place than the words around it.
    """
    page = page_words.split()
    found = words(_LINK_TARGET.sub("] ", output))
    size = min(3, len(found))
    if not size:
        return 0.0
    known = set(zip(*(page[shift:] for shift in range(size)), strict=False))
    grams = list(zip(*(found[shift:] for shift in range(size)), strict=False))
    return sum(gram in known for gram in grams) / len(grams)
