"""PDF documents: their text, put back into paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import pypdfium2

from searchmesh.reader.document.blocks import Block, Paragraph, Text
from searchmesh.reader.document.spacing import tidy
from searchmesh.reader.html.metadata import iso_time
from searchmesh.reader.page import PageInfo, Source
from searchmesh.runtime.errors import InvalidArgument

MAX_PAGES = 2_000

_DATE = re.compile(r"^D:(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?")
_ENDS = (".", "!", "?", ":", "…", "。", "！", "？", '"', "”")
_BULLET = re.compile(r"^(?:[•▪◦●–*-]|\(?\d{1,3}[.)])\s")
_APART = 1.4
"""Times the usual step from line to line that a gap between paragraphs is."""

_SHORT = 0.75
"""Share of a page's usual line that the last line of a paragraph is shorter than."""


def read_pdf(source: Source) -> tuple[PageInfo, list[Block]]:
    """What the document says of itself, and its paragraphs.

    Raises InvalidArgument for a file that cannot be opened, is encrypted, or has too many pages.
    """
    try:
        document = pypdfium2.PdfDocument(source.body)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        problem = "is encrypted; remove its password" if locked else "is not a PDF document that can be opened"
        raise InvalidArgument(source.field, problem, reason="UNREADABLE_DOCUMENT") from error
    try:
        if len(document) > MAX_PAGES:
            raise InvalidArgument(source.field, f"has {len(document)} pages, the limit is {MAX_PAGES}")
        lines = [_lines_of(document, number) for number in range(len(document))]
        return _info(document, source), [Paragraph(tidy([Text(text)])) for page in lines for text in paragraphs(page)]
    finally:
        document.close()


def _lines_of(document: pypdfium2.PdfDocument, number: int) -> list[str]:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            return list(_spaced_lines(text_page))
        finally:
            text_page.close()
    except pypdfium2.PdfiumError:
        return []  # a page that cannot be read takes nothing from the others
    finally:
        page.close()


def _spaced_lines(text_page: pypdfium2.PdfTextPage) -> Iterator[str]:
    """The lines, and an empty one wherever two are further apart than usual."""
    lines: list[tuple[str, float]] = []
    start = 0
    for line in text_page.get_text_range().split("\r\n"):
        if line.strip():
            # Where its first character stands, points from the bottom of the page.
            # pdfium joins a word that was divided, and leaves U+FFFE where it was.
            text = line.strip().replace("\ufffe", "")
            lines.append((text, text_page.get_charbox(min(start, text_page.count_chars() - 1))[1]))
        start += len(line) + 2
    steps = sorted(above - below for (_, above), (_, below) in pairwise(lines) if above > below)
    # Most steps are from one line of a paragraph to the next, unless paragraphs are short.
    usual = steps[len(steps) // 4] if steps else 0.0
    for (line, height), (_, following) in pairwise([*lines, ("", 0.0)]):
        yield line
        if height - following > _APART * usual:
            yield ""


def paragraphs(lines: list[str]) -> Iterator[str]:
    """The lines of a page joined to paragraphs.

    A PDF knows no paragraphs. One ends at an empty line, before a bullet, and after a line that ends a sentence well
    before the others end. Words that were divided at the end of a line are joined.
    """
    usual = median([len(line) for line in lines if line] or [0])
    paragraph = ""
    for line in lines:
        if paragraph and (not line or _BULLET.match(line)):
            yield paragraph
            paragraph = ""
        paragraph = _joined(paragraph, line)
        if line.endswith(_ENDS) and len(line) < _SHORT * usual:
            yield paragraph
            paragraph = ""
    if paragraph:
        yield paragraph


def _joined(paragraph: str, line: str) -> str:
    if not paragraph:
        return line
    if paragraph[-1] in "\ufffe\u00ad":
        return paragraph[:-1] + line
    if paragraph.endswith("-") and paragraph[-2:-1].islower() and line[:1].islower():
        return paragraph[:-1] + line
    return f"{paragraph} {line}"


def _info(document: pypdfium2.PdfDocument, source: Source) -> PageInfo:
    said = document.get_metadata_dict(skip_empty=True)
    return PageInfo(
        url=source.url,
        title=" ".join(said.get("Title", "").split()),
        description=" ".join(said.get("Subject", "").split()),
        authors=tuple(filter(None, [" ".join(said.get("Author", "").split())])),
        published_time=_time(said.get("CreationDate", "")),
        modified_time=_time(said.get("ModDate", "")),
        content_type="application/pdf",
        bytes=len(source.body),
    )


def _time(text: str) -> str:
    """A date in PDF's notation, ``D:20191118093000``; its time zone is left out as nobody sets it right."""
    found = _DATE.match(text)
    if not found:
        return iso_time(text)
    year, month, day, *clock = (part or "00" for part in found.groups())
    return iso_time(f"{year}-{month}-{day}T{':'.join(clock)}")
