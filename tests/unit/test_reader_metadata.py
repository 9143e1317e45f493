"""What a page says of itself."""

from __future__ import annotations

import json

import pytest

from searchmesh.reader.html.metadata import iso_time, page_info
from searchmesh.reader.html.tree import parse
from searchmesh.reader.page import PageInfo


def _info(head: str, body: str = "<p>t</p>", lang: str = "") -> PageInfo:
    root = parse(f"<html{lang}><head>{head}</head><body>{body}</body></html>")
    assert root is not None
    return page_info(root, "https://site.example/a?utm=1")


def _ld(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title> A  boat </title>", "", "A boat"),
        ('<title>A boat | The Gazette</title><meta property="og:site_name" content="The Gazette">', "", "A boat"),
        ('<title>T</title><meta property="og:title" content="A boat">', "", "A boat"),
        ("<title>A boat — and more from us</title>", "<h1>A boat</h1>", "A boat"),
        ("", "<h1>A boat</h1>", "A boat"),
        (_ld({"@type": "NewsArticle", "headline": "A boat"}), "", "A boat"),
        ("", "", ""),
    ],
)
def test_title(head: str, body: str, title: str) -> None:
    assert _info(head, body).title == title


@pytest.mark.parametrize(
    ("head", "authors"),
    [
        ('<meta name="author" content="By Ida Brandt">', ("Ida Brandt",)),
        ('<meta name="citation_author" content="I. Brandt"><meta name="citation_author" content="J. Holm">',
         ("I. Brandt", "J. Holm")),
        (_ld({"@type": "Article", "author": [{"@type": "Person", "name": "Ida"}, {"name": "Jo"}]}), ("Ida", "Jo")),
        (_ld({"@graph": [{"@type": "WebPage"}, {"@type": ["Article"], "author": {"name": "Ida"}}]}), ("Ida",)),
        (_ld({"@type": "Article", "author": "Ida"}), ("Ida",)),
        ('<meta property="article:author" content="https://facebook.example/ida">', ()),
        ('<script type="application/ld+json">{broken</script><meta name="author" content="Ida">', ("Ida",)),
        ('<script type="application/ld+json">' + "[" * 100_000 + "</script>", ()),
    ],
)  # fmt: skip
def test_authors(head: str, authors: tuple[str, ...]) -> None:
    assert _info(head).authors == authors


@pytest.mark.parametrize(
    ("head", "body", "published"),
    [
        ('<meta property="article:published_time" content="2019-11-18T09:30:00Z">', "", "2019-11-18T09:30:00+00:00"),
        (_ld({"@type": "Article", "datePublished": "2019-11-18"}), "", "2019-11-18"),
        ('<meta name="date" content="2019/11/18">', "", "2019-11-18"),
        ('<meta name="pubdate" content="Mon, 18 Nov 2019 09:30:00 +0100">', "", "2019-11-18T09:30:00+01:00"),
        ('<meta name="date" content="last Monday">', "", ""),
        ("", '<time itemprop="datePublished" datetime="2019-11-18">Monday</time>', "2019-11-18"),
        ("", '<time datetime="2019-11-18">some other day</time>', ""),
    ],
)
def test_published(head: str, body: str, published: str) -> None:
    assert _info(head, body).published_time == published


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("20191118", "2019-11-18"),
        ("2019-11-18 09:30", "2019-11-18T09:30:00"),
        ("2019", ""),
        ("0001-01-01", ""),
        ("", ""),
    ],
)
def test_times_are_read_without_guessing(text: str, time: str) -> None:
    assert iso_time(text) == time


def test_the_rest() -> None:
    head = (
        '<link rel="alternate canonical" href="/a"><meta name="description" content="Of  boats">'
        '<meta property="og:image" content="/cover.jpg"><meta property="og:site_name" content="The Gazette">'
        '<meta property="article:modified_time" content="2019-11-19">'
    )
    info = _info(head, lang=' lang="en-GB"')
    assert info.canonical_url == "https://site.example/a"
    assert (info.description, info.site_name, info.language) == ("Of boats", "The Gazette", "en-GB")
    assert (info.image_url, info.modified_time) == ("https://site.example/cover.jpg", "2019-11-19")


@pytest.mark.parametrize(
    ("head", "lang", "language"),
    [
        ('<meta http-equiv="content-language" content="de, en">', "", "de"),
        ('<meta property="og:locale" content="pt_BR">', "", "pt-BR"),
        (_ld({"@type": "Article", "inLanguage": "ko"}), "", "ko"),
        ("", ' lang="{{ page.lang }}"', ""),
    ],
)
def test_language(head: str, lang: str, language: str) -> None:
    assert _info(head, lang=lang).language == language
