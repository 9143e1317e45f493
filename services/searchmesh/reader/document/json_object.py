"""A document as one JSON object, piece by piece: what it says of itself, its `content`, summaries that are wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from searchmesh.reader.options import ReadOptions
from searchmesh.reader.page import PageInfo, Reference


def opening(info: PageInfo) -> str:
    """What comes before the content."""
    said = {name: value for name, value in asdict(info).items() if value}
    return json.dumps(said, ensure_ascii=False)[:-1] + ', "content": "'


def content(piece: str) -> str:
    """A piece of the content."""
    return json.dumps(piece, ensure_ascii=False)[1:-1]


def closing(options: ReadOptions, links: Sequence[Reference] = (), images: Sequence[Reference] = ()) -> str:
    """What comes after the content."""
    parts = ['"']
    if options.links_summary:
        parts.append(f', "links": {_references(links, "text")}')
    if options.images_summary:
        parts.append(f', "images": {_references(images, "alt")}')
    return "".join([*parts, "}"])


def _references(references: Sequence[Reference], name: str) -> str:
    return json.dumps([{"url": found.url, name: found.text} for found in references], ensure_ascii=False)
