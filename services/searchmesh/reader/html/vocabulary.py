"""What elements of HTML are to a reader of the page."""

from __future__ import annotations

import re

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Mark


def words(text: str) -> frozenset[str]:
    """A set of names that is written as a line of them."""
    return frozenset(text.split())


SILENT = words(
    "script style noscript template head svg canvas iframe object embed applet audio video map select datalist"
    " textarea input progress meter dialog frameset"
)
"""Nothing of them is text of the page."""

BLOCKS = words(
    "address article aside body center details dir div dd dt fieldset figcaption figure footer form header hgroup"
    " html legend li main menu nav ol p search section summary ul caption table tbody td tfoot th thead tr"
)
"""They stand on lines of their own."""

HEADINGS = {f"h{level}": level for level in range(1, 7)}

MARKS = {
    "b": Mark.STRONG,
    "strong": Mark.STRONG,
    "i": Mark.EMPHASIS,
    "em": Mark.EMPHASIS,
    "cite": Mark.EMPHASIS,
    "dfn": Mark.EMPHASIS,
    "var": Mark.EMPHASIS,
    "s": Mark.STRIKE,
    "strike": Mark.STRIKE,
    "del": Mark.STRIKE,
    "code": Mark.CODE,
    "kbd": Mark.CODE,
    "samp": Mark.CODE,
    "tt": Mark.CODE,
    "sub": Mark.SUBSCRIPT,
    "sup": Mark.SUPERSCRIPT,
}

_HIDDEN_CLASSES = words(
    "sr-only visually-hidden visuallyhidden screen-reader-text screen-reader-only a11y-hidden mw-editsection"
    " mw-cite-backlink headerlink header-anchor anchorjs-link hash-link heading-anchor linenos lineno line-number"
    " line-numbers linenumber gutter"
)
"""Texts that are not shown, links of headings to themselves, and numbers of lines of code."""

_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def classes(element: _Element) -> list[str]:
    """The element's class names."""
    return (element.get("class") or "").split()


def is_hidden(element: _Element) -> bool:
    """Whether the page itself says that nobody should see the element."""
    attributes = element.attrib
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or ("class" in attributes and not _HIDDEN_CLASSES.isdisjoint(classes(element)))
        or ("style" in attributes and _NOT_SHOWN.search(attributes["style"]) is not None)
    )
