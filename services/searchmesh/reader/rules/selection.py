"""Which passages of a page are its main content.

An extraction library finds the body of the text; the rules here mend what it leaves out inside of it (pictures, code,
quotes of other sites) and take away what it leaves in (the title once more, teasers, calls to subscribe).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby, takewhile

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Code, Heading, Paragraph, Table
from searchmesh.reader.html.vocabulary import classes, words
from searchmesh.reader.rules.passages import Passage, letters

_APART = words("nav aside footer form")
_APART_ROLES = words("navigation complementary contentinfo search banner dialog")
_APART_NAMES = re.compile(
    r"(?:^|[-_])(?:share|sharing|social|related|recirc|recommended|newsletter|subscri\w+|signup|promo\w*|advert\w*|ads?"
    r"|sponsor\w*|comments|sidebar|footer|nav|navbar|menu|breadcrumbs?|byline|cookies?|paywall|teasers?|trending|popular"
    r"|tags?|pagination)(?:$|[-_])",
    re.IGNORECASE,
)
"""Names, of classes and ids, of what stands beside a text."""

_SHARE_OF_REGION = 0.9
_PROSE = 60
"""Letters of a passage that is neither a heading nor a caption."""

_LINKED = 0.7
"""Share of a paragraph's text in links that makes it a pointer to another text."""

_TEASER = (20, 300)
"""Letters of a paragraph that is a teaser if it is linked: shorter ones name a source, longer ones tell something."""

_SPARSE = 0.3
"""Share of links that prose has at most."""

_END = 0.85
"""Where the end of a text begins."""

_ENOUGH = 500
"""Letters that are left over at least when the end of a text is cut."""

_ENDS_SENTENCE = (*".!?…。！？:”\"'", "")

_MOST = 0.8
"""Share of the text that teasers must leave over: where they are most of a page, they are its content."""

_CALLS = re.compile(
    r"\b(?:subscribe|newsletters?|sign(?:ed)? up|follow (?:us|me|him|her|them)|click here|like this (?:story|article)"
    r"|share (?:this|it) (?:story|article|with)|have a tip|all rights reserved|download (?:our|the) app"
    r"|tell us what you think|leave a (?:comment|reply)|read more|see also|comments?$)(?:\b|$)",
    re.IGNORECASE,
)


def is_apart(element: _Element, region: _Element | None = None) -> bool:
    """Whether an element stands beside the text: in a navigation, an aside, a form, or what is named as one of them."""
    for node in (element, *element.iterancestors()):
        if node is region or node.tag in ("body", "html", "main", "article"):
            return False
        if node.tag in _APART or node.get("role") in _APART_ROLES:
            return True
        if any(_APART_NAMES.search(name) for name in (*classes(node), node.get("id") or "")):
            return True
    return False


def region_of(passages: Sequence[Passage]) -> _Element | None:
    """The innermost element that holds nearly all of what is kept."""
    inside: Counter[_Element] = Counter()
    for passage in passages:
        if passage.kept:
            for node in (passage.element, *passage.element.iterancestors()):
                inside[node] += len(passage.letters)
    if not inside:
        return None
    enough = _SHARE_OF_REGION * max(inside.values())
    # Elements are counted from the inside out, so of those that hold enough the first is the innermost.
    return next(node for node, size in inside.items() if size >= enough)


def mend(passages: Sequence[Passage], *, images: bool) -> None:
    """Keep what belongs to the text between the first and the last passage that is kept.

    `images`: whether images are wanted; without them nobody needs their captions.
    """
    region = region_of(passages)
    kept = [number for number, passage in enumerate(passages) if passage.kept]
    if region is None or not kept:
        return
    for passage in passages[kept[0] : kept[-1] + 1]:
        if not passage.kept and region in passage.element.iterancestors():
            passage.kept = _belongs(passage, region, images)


def _belongs(passage: Passage, region: _Element, images: bool) -> bool:
    if _is_inside(passage.element, region, lambda node: node.tag == "blockquote"):
        return True
    if is_apart(passage.element, region):
        return False
    if passage.shows:
        return images
    if isinstance(passage.leaf, Code | Table):
        return passage.linked < _LINKED
    if _is_inside(passage.element, region, _is_caption):
        return images and passage.linked < _LINKED
    return len(passage.letters) >= _PROSE and passage.linked < _SPARSE


def _is_inside(element: _Element, region: _Element, holds: Callable[[_Element], bool]) -> bool:
    around = takewhile(lambda node: node is not region, (element, *element.iterancestors()))
    return any(map(holds, around))


def _is_caption(node: _Element) -> bool:
    return node.tag in ("figure", "figcaption") or any("caption" in name.lower() for name in classes(node))


def trim(passages: Sequence[Passage], title: str) -> None:
    """Take away what is not part of the text itself."""
    _drop_title(passages, letters(title))
    _drop_teasers(passages)
    _drop_tail(passages)


def _drop_title(passages: Sequence[Passage], title: str) -> None:
    """The title is told apart from the text, and pages set it above the text."""
    for passage in passages:
        if not title or not passage.kept or not passage.letters:
            continue
        is_title = title.startswith(passage.letters) or passage.letters.startswith(title)
        if is_title and isinstance(passage.leaf, Heading):
            passage.kept = False
        elif len(passage.letters) >= _PROSE and not isinstance(passage.leaf, Heading):
            return


def _drop_teasers(passages: Sequence[Passage]) -> None:
    """Paragraphs that are links to other texts, and at the end of the text lists of them."""
    kept = [passage for passage in passages if passage.kept]
    total = sum(len(passage.letters) for passage in kept)
    teasers: list[Passage] = []
    before = 0
    for (in_list, is_teaser), run in groupby(kept, lambda passage: (_is_listed(passage), _is_teaser(passage))):
        together = list(run)
        if is_teaser and (not in_list or before >= _END * total):
            teasers += together
        before += sum(len(passage.letters) for passage in together)
    if sum(len(passage.letters) for passage in teasers) <= (1 - _MOST) * total:
        for passage in teasers:
            passage.kept = False


def _is_listed(passage: Passage) -> bool:
    return passage.element.tag in ("li", "dd")


def _is_teaser(passage: Passage) -> bool:
    return (
        isinstance(passage.leaf, Paragraph)
        and passage.linked >= _LINKED
        and _TEASER[0] <= len(passage.letters) <= _TEASER[1]
        and passage.element.tag != "td"
    )


def _drop_tail(passages: Sequence[Passage]) -> None:
    """What follows the last passage of prose: links, calls to the reader, headings of what was left out."""
    kept = [passage for passage in passages if passage.kept]
    tail = list(takewhile(_is_tail, reversed(kept)))
    total = sum(len(passage.letters) for passage in kept)
    left = total - sum(len(passage.letters) for passage in tail)
    if left >= max(_ENOUGH, _MOST * total):
        for passage in tail:
            passage.kept = False


def _is_tail(passage: Passage) -> bool:
    if isinstance(passage.leaf, Heading):
        return True
    if not isinstance(passage.leaf, Paragraph) or len(passage.letters) > _TEASER[1]:
        return False
    if passage.linked >= _LINKED or _CALLS.search(passage.text):
        return True
    is_fragment = len(passage.letters) < _TEASER[0] and passage.text.rstrip()[-1:] not in _ENDS_SENTENCE
    return is_fragment and not _is_listed(passage)
