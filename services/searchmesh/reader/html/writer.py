"""What a walk through a page has written so far: the containers that are open, and the line that is being written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lxml.etree import _Element

from searchmesh.reader.document.blocks import (
    MAX_NESTING,
    Block,
    Break,
    Heading,
    Inline,
    Item,
    Leaf,
    ListBlock,
    Mark,
    Marks,
    Note,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
)
from searchmesh.reader.document.spacing import tidy, without_strong

Closer: TypeAlias = Callable[[], None]
"""What is done when an element ends."""


class Writer:
    """Puts text where it belongs. Every method that opens something returns what closes it again."""

    def __init__(self, root: _Element) -> None:
        self.blocks: list[Block] = []
        self.notes: list[Note] = []
        self.origins: list[tuple[Leaf, _Element]] = []
        self.line: list[Inline] = []
        self.tables: list[Table] = []
        """Data tables that are open."""
        self.in_cell = False
        self.heading = 0
        """Level of the heading that is open, 0: none."""
        self._targets: list[list[Block]] = [self.blocks]
        self._lists: list[ListBlock | None] = [None]
        self._elements: list[_Element] = [root]
        self._marks: list[Marks] = [Mark.NONE]
        self._hrefs: list[str] = [""]
        self._nesting = 0

    @property
    def items(self) -> ListBlock | None:
        """The list whose items come next; None inside an item and outside of lists."""
        return self._lists[-1]

    @property
    def item(self) -> Item | None:
        """The innermost item that is open."""
        open_list = next((found for found in reversed(self._lists) if found is not None), None)
        return open_list.items[-1] if open_list is not None and open_list.items else None

    @property
    def href(self) -> str:
        """Where text links to now."""
        return self._hrefs[-1]

    def write(self, text: str) -> None:
        """Go on with the line."""
        if self.line or not text.isspace():
            self.line.append(Text(text, self._marks[-1], self._hrefs[-1]))

    def flush(self) -> None:
        """End the line; it becomes a paragraph, or a heading, or goes on in the cell that it is in."""
        if not self.line:
            return
        if self.in_cell:
            self.line.append(Break())
            return
        line, self.line = tidy(self.line), []
        if line:
            self.add(Heading(self.heading, without_strong(line)) if self.heading else Paragraph(line))

    def add(self, leaf: Leaf) -> None:
        """Put a block that holds text itself."""
        self.origins.append((leaf, self._elements[-1]))
        self.put(leaf)

    def put(self, block: Block) -> None:
        """Put a block into the open container; between the items of a list it becomes one, or goes to the last."""
        items = self._lists[-1]
        if items is None:
            self._targets[-1].append(block)
        elif isinstance(block, ListBlock) and items.items:
            items.items[-1].blocks.append(block)
        else:
            items.items.append(Item([block]))

    def rule(self) -> None:
        """Put a break between topics, one in a row."""
        self.flush()
        target = self._targets[-1]
        if not self.in_cell and self.items is None and target and not isinstance(target[-1], Rule):
            target.append(Rule())

    def mark(self, mark: Marks) -> Closer:
        """Set text apart."""
        self._marks.append(self._marks[-1] | mark)
        return self._unmark

    def _unmark(self) -> None:
        self._marks.pop()

    def link(self, href: str) -> Closer:
        """Link text."""
        self._hrefs.append(href)
        return self._unlink

    def _unlink(self) -> None:
        self._hrefs.pop()

    def block(self, element: _Element) -> Closer:
        """Text on lines of its own."""
        self.flush()
        self._elements.append(element)
        return self._leave_block

    def _leave_block(self) -> None:
        self.flush()
        self._elements.pop()

    def into(self, element: _Element, blocks: list[Block], items: ListBlock | None = None) -> Closer:
        """Text into a container, or between the items of a list."""
        self.flush()
        self._elements.append(element)
        self._targets.append(blocks)
        self._lists.append(items)
        return self._leave_container

    def _leave_container(self) -> None:
        self.flush()
        self._lists.pop()
        self._targets.pop()
        self._elements.pop()

    def nested(self, element: _Element, block: Quote | ListBlock) -> Closer:
        """As `into`, for a container that is put into the open one if anything came into it."""
        if self.in_cell or self._nesting >= MAX_NESTING:
            return self.block(element)
        leave = self.into(element, [], block) if isinstance(block, ListBlock) else self.into(element, block.blocks)
        self._nesting += 1

        def close() -> None:
            leave()
            self._nesting -= 1
            if isinstance(block, ListBlock):
                block.items = [item for item in block.items if item.blocks]
            if block.items if isinstance(block, ListBlock) else block.blocks:
                self.put(block)

        return close

    def note(self, element: _Element, label: str) -> Closer:
        """Text into a note, which stands apart from what it is in."""
        note = Note(label)
        outer, self._nesting = self._nesting, 0
        leave = self.into(element, note.blocks)

        def close() -> None:
            leave()
            self._nesting = outer
            if note.blocks:
                self.notes.append(note)

        return close
