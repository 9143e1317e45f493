"""Addresses in a page, made absolute."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

from lxml.etree import _Element

_KEPT_SCHEMES = frozenset({"", "http", "https", "mailto", "tel", "ftp"})
_BLANKS = re.compile(r"[\t\n\r]")
_FROM_ROOT = re.compile(r"/(?!/)(?!.*/\.)")
"""A path from the root of its host, without steps that would have to be walked."""

MAX_URL = 4096
"""Longer ones are data or tracking, and no reader needs them."""


class Links:
    """Resolves the addresses of one page."""

    def __init__(self, root: _Element, url: str) -> None:
        base = next((found.get("href") for found in root.iter("base") if found.get("href")), "")
        self._base = _joined(url, base) if base else url
        parts = _split(self._base)
        self._origin = f"{parts.scheme}://{parts.netloc}" if parts is not None and parts.netloc else ""

    def absolute(self, href: str | None) -> str:
        """Where a link or source leads; empty for what is no address of a document, such as ``javascript:``."""
        href = _BLANKS.sub("", href or "").strip()
        if not href or len(href) > MAX_URL:
            return ""
        # Most addresses have one of these two forms, and need none of the work that the others do.
        if href.startswith(("http://", "https://")) and len(href) > len("https://"):
            return href
        if self._origin and _FROM_ROOT.match(href):
            return self._origin + href
        parts = _split(href)
        if parts is None or parts.scheme.lower() not in _KEPT_SCHEMES:
            return ""
        return _joined(self._base, href) if self._base else href


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _joined(base: str, href: str) -> str:
    try:
        return urljoin(base, href)
    except ValueError:
        return ""
