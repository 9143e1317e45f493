"""A line in Markdown: CommonMark with GitHub's strike-through and notes, and ``$`` around TeX."""

from __future__ import annotations

import re
from itertools import groupby

from searchmesh.reader.document.blocks import Break, Formula, Image, Inline, Line, Mark, NoteMark, Text
from searchmesh.reader.document.emphasis import append, with_delimiters

_TAGS = {Mark.SUBSCRIPT: "sub", Mark.SUPERSCRIPT: "sup"}
"""Markdown has no other way."""

_TEX_OPENS = re.compile(r"\\[(\[]|\$\$")
_TEX_CLOSES = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
"""Formulas that stand in a page as text, for a script to set them."""

_MOST_TEX = 2000
"""Characters of such a formula."""

_SPECIAL = re.compile(
    r"""\\(?=[!-/:-@\[-`{-~]|\s*$)        # a backslash before punctuation would escape it
      | ` | (?<!\s)\* | \*(?!\s)          # between spaces, an asterisk is plain
      | ~(?=~) | (?<=~)~
      | (?<![^\W_])_ | _(?![^\W_])        # inside a word, underscores are plain
      | \[ | \]
      | <(?=[A-Za-z/!?])                  # what could begin a tag
      | &(?=\#?\w+;)                      # or an entity""",
    re.VERBOSE,
)
_COULD_BE_SPECIAL = re.compile(r"[\\`*~_\[\]<&$]")
_LINE_START = re.compile(r"\d{1,9}(?=[.)](?:\s|$))|(?=#{1,6}(?:\s|$)|>|[-+](?:\s|$)|(?:-+|=+)\s*$|~~~|\|)")
_URL_UNSAFE = re.compile(r"[\s<>()\[\]\\|`]")


def markdown_line(line: Line, *, breaks: str = "\\\n") -> str:
    """One line; `breaks` is what ends lines inside a paragraph."""
    parts: list[str] = []
    for href, group in groupby(line, _href):
        label = with_delimiters(list(group), lambda piece: _written(piece, breaks))
        append(parts, _linked(label, href) if href else label, is_image=False)
    return "\n".join(_plain_start(part) for part in "".join(parts).split("\n"))


def _href(piece: Inline) -> str:
    return piece.href if isinstance(piece, Text | Image) else ""


def _linked(label: str, href: str) -> str:
    """Space around the words stays outside of the link."""
    inner = label.strip()
    if not inner:
        return label
    start = label.index(inner)
    return f"{label[:start]}[{inner}]({safe_url(href)}){label[start + len(inner) :]}"


def _written(piece: Inline, breaks: str) -> str:
    match piece:
        case Text():
            return _text(piece)
        case Image():
            return image(piece)
        case Formula(tex=tex, display=display):
            return f"$${tex}$$" if display else f"${tex}$"
        case NoteMark(label=label):
            return f"[^{label}]"
        case Break():
            return breaks


def _text(piece: Text) -> str:
    if piece.text.isspace():
        return piece.text
    # At the start of a line, a link that has "]:" in it would be the definition of another.
    if piece.marks & Mark.CODE and not (piece.href and "]:" in piece.text):
        return code(piece.text)
    text = escaped(piece.text)
    for mark, tag in _TAGS.items():
        if piece.marks & mark:
            text = f"<{tag}>{text}</{tag}>"
    return text


def code(text: str) -> str:
    """In as many backticks as it takes to hold those inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{'`' * (longest + 1)}{space}{text}{space}{'`' * (longest + 1)}"


def escaped(text: str) -> str:
    """The text with a backslash before what Markdown would read as markup; TeX in it becomes a formula."""
    if not _COULD_BE_SPECIAL.search(text):
        return text
    parts, end = [], 0
    for found in _TEX_OPENS.finditer(text):
        if found.start() < end:
            continue
        start = found.end()
        stop = text.find(_TEX_CLOSES[found[0]], start, start + _MOST_TEX)
        if stop > start:
            fence = "$" if found[0] == r"\(" else "$$"
            parts += [_SPECIAL.sub(r"\\\g<0>", text[end : found.start()]), fence, text[start:stop].strip(), fence]
            end = stop + len(found[0])
    parts.append(_SPECIAL.sub(r"\\\g<0>", text[end:]))
    return "".join(parts)


def _plain_start(line: str) -> str:
    """A line that begins no heading, list, quote, table or code."""
    found = _LINE_START.match(line)
    return line if found is None else f"{found[0]}\\{line[found.end() :]}"


def image(piece: Image) -> str:
    """``![alt](url "title")``."""
    alt = re.sub(r"[\[\]\\`*_<]", r"\\\g<0>", " ".join(piece.alt.split()))
    title = re.sub(r'[\\"]', r"\\\g<0>", " ".join(piece.title.split()))
    quoted = f' "{title}"' if title and piece.title != piece.alt else ""
    return f"![{alt}]({safe_url(piece.url)}{quoted})"


def safe_url(url: str) -> str:
    """With what would end it in Markdown percent-encoded."""
    return _URL_UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), url)
