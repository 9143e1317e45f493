"""Text of a page as a tree, however broken or deep its markup is."""

from __future__ import annotations

import re

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from searchmesh.reader.html.vocabulary import words

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)[^<>]*>")
_VOID = words("area base br col embed hr img input link meta source track wbr param")
_CLOSED_BY_OTHERS = words("p li dt dd tr td th thead tbody tfoot option optgroup colgroup rt rp")
"""Their end tags may be left out, so counting them would find depth where there is none."""

MAX_DEPTH = 200
"""Levels that a page keeps when it is deeper than the parser takes (256): nobody sees more."""

_ALL_ALIKE = etree.ElementDefaultClassLookup(element=HtmlElement)
"""One class for all elements. lxml.html asks a function of Python for the class of each element whenever it is come by,
which takes 4 % of the time of a page, for forms that nobody fills in here."""

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(text: str) -> HtmlElement | None:
    """The root element; None if there is nothing in the text that could be one."""
    text = _NOT_TEXT.sub("", text)
    root, too_deep = _parsed(text)
    if too_deep:
        root, _ = _parsed(_flattened(text))
    return root


def _parsed(text: str) -> tuple[HtmlElement | None, bool]:
    """The root, and whether the parser stopped at its depth limit and lost what followed."""
    # huge_tree lifts the limit on the length of a text; the limit on depth goes from 256 to 2,048 with it.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    parser.set_element_class_lookup(_ALL_ALIKE)
    try:
        root = document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None, False
    too_deep = any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)
    return root, too_deep


def _flattened(text: str) -> str:
    """The text without the tags below `MAX_DEPTH`."""
    depth = 0

    def keep(found: re.Match[str]) -> str:
        nonlocal depth
        name = found[2].lower()
        if name in _VOID or name in _CLOSED_BY_OTHERS:
            return found[0] if depth <= MAX_DEPTH else " "
        if found[1]:
            depth = max(0, depth - 1)
            return found[0] if depth < MAX_DEPTH else " "
        depth += 1
        return found[0] if depth <= MAX_DEPTH else " "

    return _TAG.sub(keep, text)
