"""Text and Markdown to passages: small enough to be embedded whole, cut where the text itself has a joint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LIMIT = 1_000
"""Characters of a passage: with most tokenizers 200 to 300 tokens, which even small encoders read whole."""

_SMALL = 200
"""A last piece below this goes to the one before instead of standing alone."""

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"\s{0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#*)?[ \t]*$")
_SETEXT = re.compile(r"\s{0,3}(=+|-+)[ \t]*$")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？])|\n")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)


@dataclass(frozen=True)
class Passage:
    """A piece of a document."""

    headings: tuple[str, ...]
    """From the outermost heading to the nearest."""
    text: str


def text_passages(text: str) -> Iterator[Passage]:
    """Passages of plain text: paragraphs, joined up to `LIMIT` characters."""
    for piece in _packed(_paragraphs(text.splitlines())):
        yield Passage((), piece)


def markdown_passages(text: str) -> Iterator[Passage]:
    """Passages of Markdown: as of plain text, but none reaches across a heading. Headings in code are none."""
    for headings, lines in _sections(_FRONT_MATTER.sub("", text).splitlines()):
        for piece in _packed(_paragraphs(lines, fences=True)):
            yield Passage(headings, piece)


def _sections(lines: list[str]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The lines under each heading, with the path of headings above them."""
    path: list[tuple[int, str]] = []
    body: list[str] = []
    fence = ""
    for line in lines:
        fence = _fence_after(fence, line)
        heading = None if fence else _heading(line, body)
        if heading is None:
            body.append(line)
            continue
        level, title, taken = heading
        yield tuple(name for _, name in path), body[: len(body) - taken]
        body = []
        path = [(above, name) for above, name in path if above < level]
        if title:
            path.append((level, title))
    yield tuple(name for _, name in path), body


def _heading(line: str, before: list[str]) -> tuple[int, str, int] | None:
    """Level, title and how many lines before belong to it, if the line makes a heading."""
    if match := _ATX.match(line):
        return len(match[1]), (match[2] or "").strip(), 0
    # An underlined heading is one line of text after an empty one; otherwise the underline is a rule or a table.
    alone = bool(before) and before[-1].strip() and (len(before) == 1 or not before[-2].strip())
    if alone and (match := _SETEXT.match(line)) and not before[-1].lstrip().startswith(("-", "*", "|", ">")):
        return (1 if match[1][0] == "=" else 2), before[-1].strip(), 1
    return None


def _fence_after(fence: str, line: str) -> str:
    """The open code fence after a line, empty if none is open."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return match[1]
    closes = match[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _paragraphs(lines: list[str], *, fences: bool = False) -> Iterator[str]:
    """Blocks between empty lines; with `fences`, empty lines in code do not divide."""
    block: list[str] = []
    fence = ""
    for line in lines:
        fence = _fence_after(fence, line) if fences else ""
        if line.strip() or (fence and block):
            block.append(line.rstrip())
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def _packed(paragraphs: Iterator[str]) -> list[str]:
    """Paragraphs joined to pieces of at most `LIMIT` characters, and a little more for a small rest."""
    pieces: list[str] = []
    open_ended = False
    for paragraph in paragraphs:
        if open_ended and len(pieces[-1]) + 2 + len(paragraph) <= LIMIT:
            pieces[-1] += "\n\n" + paragraph
            continue
        pieces.extend(_cut(paragraph))
        open_ended = True
    if len(pieces) > 1 and len(pieces[-1]) < _SMALL:
        rest = pieces.pop()
        pieces[-1] += "\n\n" + rest
    return pieces


def _cut(paragraph: str) -> Iterator[str]:
    """A paragraph in pieces of at most `LIMIT` characters: at ends of sentences, else at spaces, else anywhere."""
    while len(paragraph) > LIMIT:
        window = paragraph[: LIMIT + 1]
        ends = [match.start() for match in _SENTENCE_END.finditer(window) if match.start() >= LIMIT // 2]
        space = window.rfind(" ", LIMIT // 2)
        end = ends[-1] if ends else space if space > 0 else LIMIT
        yield paragraph[:end].rstrip()
        paragraph = paragraph[end:].lstrip()
    if paragraph:
        yield paragraph
