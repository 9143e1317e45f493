"""Footnotes: which links point to one, and where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from lxml.etree import _Element

from searchmesh.reader.html.vocabulary import classes, words

_MARK_CLASSES = words("footnote-ref footnote_ref footnoteref footnote-reference noteref reference footnote")
_NOTE_CLASSES = words("footnote footnotes endnote endnotes references reflist fn footnote-list footnote_content")
_BACK_CLASSES = words(
    "footnote-backref footnote-back reversefootnote mw-cite-backlink footnote_backlink fn-backref data-footnote-backref"
)
_LABEL = re.compile(r"^[\[(^]?\s*(\d{1,4}|[a-z]|[*†‡§¶]{1,3})\s*[\])]?$", re.IGNORECASE)
_BACK_TEXT = re.compile(r"^[\s↩︎↑^⏎↵⤴\ufe0e\ufe0f]+$")
_NOTE_ID = re.compile(
    r"^(?:user-content-)?(?:fn|footnote|cite_note|note|endnote|_ftn|_edn|ftnt)[-_:.]?\w", re.IGNORECASE
)

_MAX_ELEMENTS = 100
"""Of a note that only a link back tells from other text."""


@dataclass(frozen=True)
class Notes:
    """The footnotes of a page."""

    marks: Mapping[_Element, str] = field(default_factory=dict)
    """The link of each mark, with the label of its note."""
    bodies: Mapping[_Element, str] = field(default_factory=dict)
    """The element that holds each note, with its label."""

    @classmethod
    def of(cls, root: _Element) -> Notes:
        """Links to a place in the page that look like a mark, where that place looks like a note."""
        marks: dict[_Element, str] = {}
        bodies: dict[_Element, str] = {}
        candidates = [
            (link, href[1:])
            for link in root.iter("a")
            if len(href := link.get("href") or "") > 1 and href[0] == "#" and _looks_like_mark(link)
        ]
        if not candidates:
            return cls()
        places = {name: node for node in root.iter() if (name := node.get("id") or _anchor(node))}
        for link, name in candidates:
            place = places.get(name)
            body = _body(place) if place is not None else None
            if body is None or body in link.iterancestors() or not _looks_like_note(body, name):
                continue
            marks[link] = bodies.setdefault(body, str(len(bodies) + 1))
        return cls(marks, bodies)


def _anchor(node: _Element) -> str:
    return (node.get("name") or "") if node.tag == "a" else ""


def _looks_like_mark(link: _Element) -> bool:
    if "doc-noteref" in (link.get("role") or "") or "noteref" in (link.get("epub:type") or ""):
        return True
    text = "".join(link.itertext()).strip()
    if not _LABEL.match(text) or is_back_link(link):
        return False
    above = link.getparent()
    raised = (above is not None and above.tag == "sup") or link.find("sup") is not None
    named = not _MARK_CLASSES.isdisjoint(classes(link) + (classes(above) if above is not None else []))
    return raised or named or _NOTE_ID.match((link.get("href") or "")[1:]) is not None


def _body(place: _Element) -> _Element | None:
    """The block that a place in it stands for."""
    for node in (place, *place.iterancestors()):
        if node.tag in ("li", "p", "div", "aside", "dd", "section", "td"):
            return node
        if node.tag == "dt":
            return node.getnext() if (below := node.getnext()) is not None and below.tag == "dd" else None
        if node.tag in ("body", "article", "main"):
            return None
    return None


def _looks_like_note(body: _Element, name: str) -> bool:
    if _NOTE_ID.match(name) or "doc-footnote" in (body.get("role") or "") or "doc-endnote" in (body.get("role") or ""):
        return True
    above = body.getparent()
    around = classes(body) + (classes(above) if above is not None else [])
    if not _NOTE_CLASSES.isdisjoint(around):
        return True
    inside = list(islice(body.iterdescendants(), _MAX_ELEMENTS + 1))
    return len(inside) <= _MAX_ELEMENTS and any(node.tag == "a" and is_back_link(node) for node in inside)


def is_back_link(link: _Element) -> bool:
    """Whether a link leads from a note back to its mark."""
    above = link.getparent()
    names = classes(link) + (classes(above) if above is not None else [])
    if "doc-backlink" in (link.get("role") or "") or not _BACK_CLASSES.isdisjoint(names):
        return True
    return (link.get("href") or "").startswith("#") and _BACK_TEXT.match("".join(link.itertext())) is not None
