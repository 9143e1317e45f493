"""A tree of HTML as blocks.

The walk goes element by element and knows no recursion, so that depth costs nothing. Whatever a page puts where HTML
does not foresee it (text between list items, cells without a table) is text all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lxml.etree import _Element, iterwalk

from searchmesh.reader.document.blocks import Block, Break, Code, Leaf, Mark, Note, NoteMark, Quote, Rule, Text
from searchmesh.reader.html import lists, tables
from searchmesh.reader.html.code import code_text, language_of
from searchmesh.reader.html.images import image_of
from searchmesh.reader.html.links import Links
from searchmesh.reader.html.maths import formula_of
from searchmesh.reader.html.notes import Notes, is_back_link
from searchmesh.reader.html.vocabulary import BLOCKS, HEADINGS, MARKS, SILENT, is_hidden
from searchmesh.reader.html.writer import Closer, Writer

_FORMULAS = frozenset({"math", "script", "img", "mjx-container", "span"})


@dataclass(frozen=True)
class Content:
    """All that a page shows."""

    blocks: list[Block]
    notes: list[Note]
    """In the order of their marks."""
    origins: list[tuple[Leaf, _Element]]
    """Every leaf and the innermost block element that it comes from, in the order of the page."""


def content_of(root: _Element, url: str = "") -> Content:
    """The blocks of a tree. `url`: where the page came from, for relative addresses."""
    walk = _Walk(root, url)
    walk.run(root)
    writer = walk.writer
    while writer.blocks and isinstance(writer.blocks[-1], Rule):
        writer.blocks.pop()
    return Content(writer.blocks, sorted(writer.notes, key=lambda note: int(note.label)), writer.origins)


class _Walk:
    """Visits every element once and tells the writer what opens and closes there."""

    def __init__(self, root: _Element, url: str) -> None:
        self.writer = Writer(root)
        self._links = Links(root, url)
        self._notes = Notes.of(root)

    def run(self, root: _Element) -> None:
        """Visit them all."""
        writer = self.writer
        closers: list[Closer | None] = []
        walk = iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if self._is_taken(element):
                    walk.skip_subtree()
                    closers.append(None)
                    continue
                closers.append(self._open(element))
                if element.text:
                    writer.write(element.text)
            else:
                if (closer := closers.pop()) is not None:
                    closer()
                if element.tail and element is not root:
                    writer.write(element.tail)
        writer.flush()

    def _is_taken(self, element: _Element) -> bool:
        """Elements with nothing to read, and those that are read here as a whole."""
        tag = element.tag
        if tag in _FORMULAS and (formula := formula_of(element)) is not None:
            self.writer.line.append(formula)
            return True
        if tag == "pre":
            self._code(element)
            return True
        if tag == "a" and self._notes.bodies:
            label = self._notes.marks.get(element)
            if label is not None:
                self.writer.line.append(NoteMark(label))
            return label is not None or is_back_link(element)
        if tag == "input" and element.get("type") == "checkbox":
            lists.open_checkbox(self.writer, element)
            return True
        if tag == "button":
            return self.writer.heading == 0
        return tag in SILENT or is_hidden(element)

    def _open(self, element: _Element) -> Closer | None:
        tag = str(element.tag)
        if (label := self._notes.bodies.get(element)) is not None:
            return self.writer.note(element, label)
        if opener := _OPENERS.get(tag):
            return opener(self.writer, element)
        if mark := MARKS.get(tag):
            return self.writer.mark(mark)
        if level := HEADINGS.get(tag):
            return self._heading(element, level)
        if tag == "a":
            return self._anchor(element)
        if tag == "img":
            self._image(element)
            return None
        return self.writer.block(element) if tag in BLOCKS else None

    def _heading(self, element: _Element, level: int) -> Closer:
        leave = self.writer.block(element)
        outer, self.writer.heading = self.writer.heading, level

        def close() -> None:
            leave()
            self.writer.heading = outer

        return close

    def _anchor(self, element: _Element) -> Closer:
        return self.writer.link(self._links.absolute(element.get("href")))

    def _image(self, element: _Element) -> None:
        if (image := image_of(element, self._links, self.writer.href)) is not None:
            self.writer.line.append(image)

    def _code(self, element: _Element) -> None:
        writer = self.writer
        text = code_text(element)
        if not text:
            return
        if writer.in_cell:
            for line in text.split("\n"):
                writer.line += [Text(line, Mark.CODE), Break()]
            return
        leave = writer.block(element)
        writer.add(Code(text, language_of(element)))
        leave()


def _open_quote(writer: Writer, element: _Element) -> Closer:
    return writer.nested(element, Quote())


def _open_quotation(writer: Writer, element: _Element) -> Closer:  # noqa: ARG001
    writer.write("“")
    return lambda: writer.write("”")


def _open_summary(writer: Writer, element: _Element) -> Closer:
    leave = writer.block(element)
    unmark = writer.mark(Mark.STRONG)

    def close() -> None:
        leave()
        unmark()

    return close


def _open_break(writer: Writer, element: _Element) -> None:  # noqa: ARG001
    """Two in a row end a paragraph, as pages without paragraphs have it."""
    visible = (piece for piece in reversed(writer.line) if not (isinstance(piece, Text) and piece.text.isspace()))
    if isinstance(next(visible, None), Break) and not writer.in_cell:
        writer.flush()
    elif writer.line:
        writer.line.append(Break())


def _open_rule(writer: Writer, element: _Element) -> None:  # noqa: ARG001
    writer.rule()


_OPENERS: Mapping[str, Callable[[Writer, _Element], Closer | None]] = {
    "blockquote": _open_quote,
    "br": _open_break,
    "caption": tables.open_cell,
    "dd": lists.open_description,
    "dir": lists.open_list,
    "dl": lists.open_list,
    "dt": lists.open_term,
    "hr": _open_rule,
    "li": lists.open_item,
    "menu": lists.open_list,
    "ol": lists.open_list,
    "q": _open_quotation,
    "summary": _open_summary,
    "table": tables.open_table,
    "td": tables.open_cell,
    "th": tables.open_cell,
    "tr": tables.open_row,
    "ul": lists.open_list,
}
