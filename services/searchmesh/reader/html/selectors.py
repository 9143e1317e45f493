"""CSS selectors that narrow a page down."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from cssselect import SelectorError
from lxml.cssselect import CSSSelector
from lxml.html import HtmlElement

from searchmesh.runtime.errors import InvalidArgument, NotFound

MAX_SELECTORS = 20
MAX_CHARACTERS = 500


def compiled(field: str, selectors: Sequence[str]) -> list[CSSSelector]:
    """Selectors ready to be applied. Raises InvalidArgument, naming the field, for one that is none."""
    if len(selectors) > MAX_SELECTORS:
        raise InvalidArgument(field, f"has {len(selectors)} entries, the limit is {MAX_SELECTORS}")
    return [_compiled(f"{field}[{position}]", selector) for position, selector in enumerate(selectors)]


def _compiled(field: str, selector: str) -> CSSSelector:
    if len(selector) > MAX_CHARACTERS:
        raise InvalidArgument(field, f"has {len(selector)} characters, the limit is {MAX_CHARACTERS}")
    try:
        return CSSSelector(selector, translator="html")
    except (SelectorError, RecursionError, ValueError) as error:
        raise InvalidArgument(field, f"is no CSS selector: {error}") from None


def narrowed(root: HtmlElement, targets: Sequence[str], removed: Sequence[str]) -> HtmlElement:
    """The tree without what is removed and, if there are targets, with them alone. Changes the tree.

    Raises NotFound if nothing of the page is a target.
    """
    for selector in compiled("remove_selectors", removed):
        for element in selector(root):
            if element.getparent() is not None:
                element.drop_tree()
    if not targets:
        return root
    found = {element for selector in compiled("target_selectors", targets) for element in selector(root)}
    chosen = [element for element in root.iter() if element in found]
    if not chosen:
        raise NotFound("nothing of the page matches target_selectors", reason="NO_TARGET")
    body = root.makeelement("body")
    for element in chosen:
        if not any(above in found for above in element.iterancestors()):
            copy = deepcopy(element)
            copy.tail = None
            body.append(copy)
    whole = root.makeelement("html", dict(root.attrib))
    whole.append(body)
    return whole
