"""Documents read by rules alone. Runs in a process of the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from searchmesh.reader.document import json_object
from searchmesh.reader.document.blocks import Block, Code
from searchmesh.reader.document.markdown import markdown
from searchmesh.reader.document.plain import plain_text
from searchmesh.reader.document.retention import image_references, link_references, retained
from searchmesh.reader.html.charset import decode
from searchmesh.reader.html.content import content_of
from searchmesh.reader.html.metadata import page_info
from searchmesh.reader.html.selectors import narrowed
from searchmesh.reader.html.tree import parse
from searchmesh.reader.kinds import Kind, kind_of
from searchmesh.reader.options import BYTES_PER_TOKEN, Format, ReadOptions, Retention
from searchmesh.reader.page import Ending, PageInfo, Reference, Source, Summary
from searchmesh.reader.pdf import read_pdf
from searchmesh.reader.rules.main_content import main_content
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument

Frame: TypeAlias = PageInfo | str | Summary

_PIECE_BYTES = 16 * 1024
"""Text that is sent at once, besides the first piece, which goes as soon as there is one."""


def read(source: Source, options: ReadOptions) -> Iterator[Frame]:
    """What the document says of itself, the pieces of its text, then the summary.

    Raises InvalidArgument for what cannot be read, NotFound if no target selector finds anything, FailedPrecondition
    for a document without text.
    """
    kind, language = kind_of(source)
    if kind is Kind.IMAGE:
        problem = f"is RULES, and {source.field} is an image, which a model has to look at"
        raise InvalidArgument("engine", problem, reason="NEEDS_MODEL")
    if kind is Kind.HTML:
        info, blocks = _read_html(source, options)
    elif kind is Kind.PDF:
        info, blocks = read_pdf(source)
    else:
        text, charset = decode(source.body, source.charset)
        info = _info(source, charset)
        if kind is not Kind.CODE:
            yield from _as_it_is(text, info, options)
            return
        blocks = [Code(text.strip("\n"), language)] if text.strip() else []
    links, images = link_references(blocks), image_references(blocks)
    kept = retained(blocks, options.links, options.images)
    yield from _written(kept, info, options, links, images)


def _read_html(source: Source, options: ReadOptions) -> tuple[PageInfo, list[Block]]:
    text, charset = decode(source.body, source.charset)
    root = parse(text)
    if root is None:
        raise _no_text()
    said = page_info(root, source.url)
    info = replace(said, content_type="text/html", charset=charset, bytes=len(source.body))
    root = narrowed(root, options.target_selectors, options.remove_selectors)
    content = content_of(root, source.url)
    if not options.main_content:
        return info, [*content.blocks, *content.notes]
    shows_images = options.images is not Retention.NONE and options.format is not Format.TEXT
    return info, main_content(content, root, title=info.title, images=shows_images)


def _info(source: Source, charset: str) -> PageInfo:
    media = source.content_type or "text/plain"
    return PageInfo(url=source.url, content_type=media, charset=charset, bytes=len(source.body))


def _no_text() -> FailedPrecondition:
    return FailedPrecondition(
        "the document has no text to read; a page may need a browser to show any, a scan a model that reads images",
        reason="NO_TEXT",
    )


def _as_it_is(text: str, info: PageInfo, options: ReadOptions) -> Iterator[Frame]:
    """Text that is readable already, and Markdown."""
    if not text.strip():
        raise _no_text()
    pieces = _json(info, [text], options, (), ()) if options.format is Format.JSON else iter([text])
    yield info
    yield from _bounded(pieces, options, (), ())


def _written(
    blocks: Sequence[Block],
    info: PageInfo,
    options: ReadOptions,
    links: tuple[Reference, ...],
    images: tuple[Reference, ...],
) -> Iterator[Frame]:
    write: Callable[[Sequence[Block]], Iterator[str]] = plain_text if options.format is Format.TEXT else markdown
    pieces = write(blocks)
    first = next(pieces, "")
    if not first.strip():
        raise _no_text()
    yield info
    whole = _chain(first, pieces)
    if options.format is Format.JSON:
        whole = _json(info, whole, options, links, images)
    yield from _bounded(whole, options, links, images)


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _json(
    info: PageInfo,
    content: Iterator[str] | Sequence[str],
    options: ReadOptions,
    links: tuple[Reference, ...],
    images: tuple[Reference, ...],
) -> Iterator[str]:
    yield json_object.opening(info)
    yield from map(json_object.content, content)
    yield json_object.closing(options, links, images)


def _bounded(
    pieces: Iterator[str], options: ReadOptions, links: tuple[Reference, ...], images: tuple[Reference, ...]
) -> Iterator[Frame]:
    """The pieces up to the bound, gathered so that each is worth sending, and the summary."""
    bound = options.max_tokens * BYTES_PER_TOKEN
    sent = 0
    complete = True
    for text in _gathered(pieces):
        size = len(text.encode())
        if bound and sent + size > bound:
            text = _cut(text, bound - sent)
            complete = False
        sent += len(text.encode())
        if text:
            yield text
        if not complete:
            break
    yield Summary(
        Ending.STOP if complete else Ending.LENGTH,
        sent,
        links if options.links_summary else (),
        images if options.images_summary else (),
    )


def _gathered(pieces: Iterator[str]) -> Iterator[str]:
    waiting: list[str] = []
    size = 0
    limit = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size > limit:
            yield "".join(waiting)
            waiting, size, limit = [], 0, _PIECE_BYTES
    if waiting:
        yield "".join(waiting)


def _cut(text: str, size: int) -> str:
    """The text up to a number of bytes, and back to the end of a word."""
    start = text.encode()[:size].decode("utf-8", "ignore")
    space = max(start.rfind(" "), start.rfind("\n"))
    return start[:space].rstrip() if space > 0 else start
