"""Links and images of a model's Markdown made absolute: it copies addresses as the page has them."""

from __future__ import annotations

import re
from urllib.parse import urljoin

_TARGET = re.compile(r"(\]\()([^()\s<>]+)")
_OPEN = re.compile(r"\](?:\([^()\s]*)?\Z")
"""The end of a text that may go on as an address, or as the rest of one."""

_LONGEST = 2048


class AbsoluteLinks:
    """Takes a text piece by piece and gives it back with its addresses resolved against the page's."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting = ""

    def feed(self, piece: str) -> str:
        """What is certain not to be the beginning of an address."""
        text = self._waiting + piece
        found = _OPEN.search(text, max(0, len(text) - _LONGEST))
        ready = text[: found.start()] if found else text
        self._waiting = text[len(ready) :]
        return self._resolved(ready)

    def finish(self) -> str:
        """The rest."""
        rest, self._waiting = self._waiting, ""
        return self._resolved(rest)

    def _resolved(self, text: str) -> str:
        return _TARGET.sub(lambda found: found[1] + self._joined(found[2]), text) if self._url else text

    def _joined(self, href: str) -> str:
        try:
            return urljoin(self._url, href)
        except ValueError:
            return href
