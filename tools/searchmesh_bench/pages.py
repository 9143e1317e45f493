"""Web pages with the text that a person took from each: a folder with pages/, gold/ and manifest.jsonl."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from searchmesh.runtime.errors import NotFound

_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True)
class Page:
    """One page."""

    name: str
    url: str
    html: bytes
    gold: str
    """Its text, as a person sees it."""


def load_pages(folder: Path) -> list[Page]:
    """All pages of a folder, in its order. Raises NotFound if a file is missing."""
    try:
        entries = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
        return [
            Page(
                entry["name"],
                entry["url"],
                (folder / "pages" / f"{entry['name']}.html").read_bytes(),
                (folder / "gold" / f"{entry['name']}.txt").read_text(encoding="utf-8"),
            )
            for entry in entries
        ]
    except OSError as error:
        raise NotFound(f"{error.filename}: {error.strerror}") from None


def token_f1(text: str, gold: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as both texts have it."""
    found, wanted = Counter(_TOKEN.findall(text)), Counter(_TOKEN.findall(gold))
    shared = (found & wanted).total()
    return 2 * shared / (found.total() + wanted.total()) if shared else 0.0
