"""Pictures of a page: which address is the real one, and which are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Image
from searchmesh.reader.html.links import Links

_LAZY = ("data-src", "data-lazy-src", "data-original", "data-lazy", "data-hi-res-src", "data-orig-file", "data-url")
"""Where pages keep the address until the picture is scrolled to."""

_LAZY_SETS = ("data-srcset", "data-lazy-srcset")
_CANDIDATE = re.compile(r"(\S*[^\s,])(?:\s+([\d.]+)[wx])?\s*(?:,|$)")
_MAX_SET = 20_000
"""Characters of a ``srcset``."""

_BEACON = re.compile(r"pixel|spacer|blank\.gif|1x1|transparent|tracking|beacon", re.IGNORECASE)


def image_of(element: _Element, links: Links, href: str = "") -> Image | None:
    """The picture of an ``img`` element; None for spacers, tracking pixels and what has no address."""
    if _is_tiny(element):
        return None
    url = _address(element, links)
    if not url or _BEACON.search(url.rpartition("/")[2]):
        return None
    return Image(url, (element.get("alt") or "").strip(), (element.get("title") or "").strip(), href)


def _address(element: _Element, links: Links) -> str:
    return next((url for found in _candidates(element) if found and (url := links.absolute(found))), "")


def _candidates(element: _Element) -> Iterator[str | None]:
    """Where the picture may be, best first."""
    yield from map(element.get, _LAZY)
    yield from (_largest(element.get(name)) for name in _LAZY_SETS)
    yield element.get("src")
    yield _largest(element.get("srcset"))
    # The parser may take a source for the parent of what follows it.
    if (picture := next(element.iterancestors("picture"), None)) is not None:
        for source in picture.iter("source"):
            yield _largest(source.get("srcset") or source.get("data-srcset"))


def _largest(sources: str | None) -> str | None:
    """The widest of a ``srcset``."""
    if sources and len(sources) > _MAX_SET:
        return None
    found = [(float(size or 1), url) for url, size in _CANDIDATE.findall(sources or "") if _is_number(size or "1")]
    return max(found)[1] if found else None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _is_tiny(element: _Element) -> bool:
    sides = (element.get("width"), element.get("height"))
    return any(side is not None and side.strip().removesuffix("px") in ("0", "1", "2") for side in sides)
