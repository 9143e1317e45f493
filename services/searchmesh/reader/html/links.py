"""Addresses in a page, made absolute."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from lxml.etree import _Element

_KEPT_SCHEMES = frozenset({"", "http", "https", "mailto", "tel", "ftp"})
_BLANKS = re.compile(r"[\t\n\r]")

MAX_URL = 4096
"""Longer ones are data or tracking, and no reader needs them."""


class Links:
    """Resolves the addresses of one page."""

    def __init__(self, root: _Element, url: str) -> None:
        base = next((found.get("href") for found in root.iter("base") if found.get("href")), "")
        self._base = _joined(url, base) if base else url

    def absolute(self, href: str | None) -> str:
        """Where a link or source leads; empty for what is no address of a document, such as ``javascript:``."""
        href = _BLANKS.sub("", href or "").strip()
        if not href or len(href) > MAX_URL:
            return ""
        try:
            if urlsplit(href).scheme.lower() not in _KEPT_SCHEMES:
                return ""
        except ValueError:
            return ""
        return _joined(self._base, href) if self._base else href


def _joined(base: str, href: str) -> str:
    try:
        return urljoin(base, href)
    except ValueError:
        return ""
