"""Pages for tests of the reader."""

from __future__ import annotations

from searchmesh.reader.document.blocks import Block
from searchmesh.reader.document.markdown import markdown
from searchmesh.reader.document.plain import plain_text
from searchmesh.reader.html.content import content_of
from searchmesh.reader.html.tree import parse
from searchmesh.reader.options import ReadOptions
from searchmesh.reader.page import PageInfo, Source, Summary
from searchmesh.reader.rules.reading import read

URL = "https://site.example/guide/page"


def blocks_of(html: str, url: str = URL) -> list[Block]:
    """All blocks of a page, notes last."""
    root = parse(html)
    assert root is not None
    content = content_of(root, url)
    return [*content.blocks, *content.notes]


def markdown_of(html: str, url: str = URL) -> str:
    """All of a page in Markdown."""
    return "".join(markdown(blocks_of(html, url)))


def text_of(html: str) -> str:
    """All of a page as plain text."""
    return "".join(plain_text(blocks_of(html)))


def read_all(source: Source | str, **options: object) -> tuple[PageInfo, str, Summary]:
    """A document read by rules, in this process."""
    if isinstance(source, str):
        source = Source(source.encode(), "text/html", "utf-8", URL)
    info: PageInfo | None = None
    summary: Summary | None = None
    pieces: list[str] = []
    for frame in read(source, ReadOptions(**options)):  # type: ignore[arg-type]
        match frame:
            case PageInfo():
                info = frame
            case Summary():
                summary = frame
            case _:
                pieces.append(frame)
    assert info is not None
    assert summary is not None
    return info, "".join(pieces), summary


def article(body: str, *, title: str = "A day at the harbour", head: str = "") -> str:
    """A page with a body between what stands around the text of most pages."""
    prose = "".join(
        f"<p>The {word} boat came in at noon, and its crew carried the nets across the quay while gulls circled above"
        " them, as they had done every day since the spring.</p>"
        for word in ("first", "second", "third")
    )
    return f"""<!doctype html><html lang="en"><head><title>{title} | The Gazette</title>{head}</head><body>
    <header><a href="/">The Gazette</a></header>
    <nav><ul><li><a href="/news">News</a></li><li><a href="/sport">Sport</a></li></ul></nav>
    <main><article><h1>{title}</h1>{prose}{body}{prose.replace("boat", "ship")}</article></main>
    <aside><h2>Most read</h2><ul><li><a href="/a">Ten ways to cook a herring on Sunday</a></li></ul></aside>
    <footer><p>Copyright The Gazette. All rights reserved.</p></footer></body></html>"""
