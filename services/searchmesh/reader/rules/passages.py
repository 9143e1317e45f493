"""The leaves of a page with what the choice of its main content is made on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Code, Formula, Image, Leaf, Line, Paragraph, Text, lines, text_of
from searchmesh.reader.html.content import Content


def letters(text: str) -> str:
    """Only what two renderings of the same text certainly share: no spaces, no punctuation."""
    return "".join(filter(str.isalnum, text))


@dataclass(eq=False)
class Passage:
    """One leaf and where it stands."""

    leaf: Leaf
    element: _Element
    kept: bool = False

    @cached_property
    def text(self) -> str:
        return self.leaf.text if isinstance(self.leaf, Code) else " ".join(map(text_of, lines(self.leaf)))

    @cached_property
    def letters(self) -> str:
        return letters(self.text)

    def pieces(self) -> Iterator[str]:
        """The letters of each of its parts."""
        if isinstance(self.leaf, Code):
            yield from map(letters, self.leaf.text.split("\n"))
        else:
            for line in lines(self.leaf):
                yield from (letters(piece.text) for piece in line if isinstance(piece, Text))

    @cached_property
    def linked(self) -> float:
        """Share of its text that links somewhere."""
        if isinstance(self.leaf, Code) or not self.text:
            return 0.0
        texts = (piece for line in lines(self.leaf) for piece in line if isinstance(piece, Text))
        return sum(len(piece.text) for piece in texts if piece.href) / len(self.text)

    @cached_property
    def shows(self) -> bool:
        """Whether it is no text but an image or a formula."""
        return not self.letters and any(isinstance(piece, Image | Formula) for piece in self._line)

    @property
    def _line(self) -> Line:
        return self.leaf.line if isinstance(self.leaf, Paragraph) else ()


def passages_of(content: Content) -> list[Passage]:
    """All leaves, in the order of the page."""
    return [Passage(leaf, element) for leaf, element in content.origins]
