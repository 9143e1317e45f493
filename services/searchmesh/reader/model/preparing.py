"""A page made ready for a model. Runs in a process of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lxml import etree
from lxml.html import HtmlElement

from searchmesh.catalog.sections import HtmlPrompts
from searchmesh.reader.html.charset import decode
from searchmesh.reader.html.metadata import page_info
from searchmesh.reader.html.selectors import narrowed
from searchmesh.reader.html.tree import parse
from searchmesh.reader.model.cleaning import cleaned
from searchmesh.reader.model.fragments import Fragment, fragments
from searchmesh.reader.options import ReadOptions, Retention
from searchmesh.reader.page import PageInfo, Source
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.text.words import words_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a model is given of a page, and what it may say of it."""

    info: PageInfo
    html: str
    """Cleaned."""
    words: str
    """Of the page's text, in order, with a space around each."""


def prepare(source: Source, options: ReadOptions, prompts: HtmlPrompts) -> Prepared:
    """The page for a model.

    Raises NotFound if no target selector finds anything, FailedPrecondition for a page without text.
    """
    text, charset = decode(source.body, source.charset)
    root = parse(text)
    if root is None:
        raise _no_text()
    said = page_info(root, source.url)
    info = replace(said, content_type="text/html", charset=charset, bytes=len(source.body))
    narrow = options.target_selectors or options.remove_selectors
    if narrow or options.links is not Retention.ALL or options.images is not Retention.ALL:
        root = narrowed(root, options.target_selectors, options.remove_selectors)
        _retain(root, options)
        text = etree.tostring(root, encoding="unicode", method="html")
    words = words_of(_visible_text(root))
    if not words.strip():
        raise _no_text()
    # What is not narrowed goes to the model as it came: it was trained on pages as they are.
    return Prepared(info, cleaned(text, (*prompts.clean, *prompts.clean_optional)), words)


def _no_text() -> FailedPrecondition:
    return FailedPrecondition("the page has no text to read; it may need a browser to show any", reason="NO_TEXT")


def _retain(root: HtmlElement, options: ReadOptions) -> None:
    """Take links and images away as far as they are not wanted."""
    for image in list(root.iter("img", "svg", "picture")) if options.images is not Retention.ALL else []:
        if image.getparent() is not None:
            alt = image.get("alt") if options.images is Retention.TEXT else None
            image.tail = f"{alt or ''}{image.tail or ''}"
            image.drop_tree()
    for link in list(root.iter("a")) if options.links is not Retention.ALL else []:
        if options.links is Retention.NONE:
            link.drop_tree()
        else:
            link.drop_tag()


def _visible_text(root: HtmlElement) -> str:
    hidden = ("script", "style", "noscript", "template")
    texts = root.xpath(f"//text()[not({' or '.join(f'ancestor::{name}' for name in hidden)})] | //@alt | //@title")
    return " ".join(map(str, texts))


def divide(html: str, most_bytes: int) -> list[Fragment]:
    """The fragments of cleaned HTML."""
    root = parse(html)
    if root is None:
        raise _no_text()
    return list(fragments(root, most_bytes))
