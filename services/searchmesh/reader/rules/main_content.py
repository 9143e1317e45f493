"""The main content of a page, with all its structure."""

from __future__ import annotations

from lxml.html import HtmlElement

from searchmesh.reader.document.blocks import Block
from searchmesh.reader.document.pruning import pruned, with_notes
from searchmesh.reader.html.content import Content
from searchmesh.reader.rules.alignment import align
from searchmesh.reader.rules.extraction import extracted_letters
from searchmesh.reader.rules.passages import Passage, passages_of
from searchmesh.reader.rules.selection import is_apart, mend, trim

_LITTLE = 400
"""Letters of an extraction that may have missed the text."""

_SHARE = 0.3
"""Share of a page's letters that makes a short extraction believable."""


def main_content(content: Content, root: HtmlElement, *, title: str, images: bool) -> list[Block]:
    """What of a page is worth reading. `images`: whether they will be shown."""
    passages = passages_of(content)
    align(passages, extracted_letters(root))
    if _is_poor(passages):
        align(passages, extracted_letters(root, thorough=True))
    if not any(passage.kept for passage in passages):
        for passage in passages:
            passage.kept = not is_apart(passage.element)
    mend(passages, images=images)
    trim(passages, title)
    kept = {id(passage.leaf) for passage in passages if passage.kept}
    return with_notes(pruned(content.blocks, lambda leaf: id(leaf) in kept), content.notes)


def _is_poor(passages: list[Passage]) -> bool:
    kept = sum(len(passage.letters) for passage in passages if passage.kept)
    return kept < _LITTLE and kept < _SHARE * sum(len(passage.letters) for passage in passages)
