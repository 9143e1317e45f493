"""What a page says of itself: Open Graph, schema.org in JSON-LD, Dublin Core, plain HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lxml.html import HtmlElement

from searchmesh.reader.html.links import Links
from searchmesh.reader.html.vocabulary import words
from searchmesh.reader.page import PageInfo

_MAX_JSON = 500_000
"""Characters of one block of JSON-LD."""

_MAX_VALUE = 2_000
_TITLES = ("og:title", "twitter:title", "citation_title", "dc.title", "dcterms.title", "parsely-title")
_DESCRIPTIONS = ("og:description", "description", "twitter:description", "dc.description")
_AUTHORS = (
    "author", "citation_author", "parsely-author", "article:author", "dc.creator", "dcterms.creator",
    "sailthru.author", "byl",
)  # fmt: skip
_PUBLISHED = (
    "article:published_time", "datepublished", "citation_publication_date", "citation_date", "parsely-pub-date",
    "sailthru.date", "dc.date.issued", "dcterms.issued", "dc.date", "dcterms.created", "pubdate", "publishdate",
    "publish-date", "publication_date", "date", "og:article:published_time", "cxenseparse:recs:publishtime",
)  # fmt: skip
_MODIFIED = ("article:modified_time", "og:updated_time", "datemodified", "dcterms.modified", "last-modified")
_SITES = ("og:site_name", "application-name", "citation_journal_title", "twitter:site")
_IMAGES = ("og:image", "og:image:url", "twitter:image", "twitter:image:src")
_TEXTS = words(
    "Article NewsArticle BlogPosting TechArticle ScholarlyArticle Report Review Recipe WebPage QAPage LiveBlogPosting"
    " ReportageNewsArticle OpinionNewsArticle AnalysisNewsArticle DiscussionForumPosting SocialMediaPosting"
)
"""Types of schema.org that are a page's own text."""

_DATE = re.compile(r"^(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})$")
_SEPARATORS = re.compile(r"\s+[|\-–—·:»]\s+")


def page_info(root: HtmlElement, url: str) -> PageInfo:
    """Title, authors, dates and the rest, as far as the page has them."""
    links = Links(root, url)
    metas = _metas(root)
    described = _Described(root)
    site = _first(metas, _SITES) or _name(described.get("publisher"))
    title = _first(metas, _TITLES) or _text(described.get("headline")) or _document_title(root)
    return PageInfo(
        url=url,
        canonical_url=links.absolute(_canonical(root) or _first(metas, ("og:url",))),
        title=_without_site(title, site),
        description=_first(metas, _DESCRIPTIONS) or _text(described.get("description")),
        language=_language(root, metas, described),
        authors=_authors(root, metas, described),
        published_time=_time(metas, _PUBLISHED, described, "datePublished") or _marked_time(root),
        modified_time=_time(metas, _MODIFIED, described, "dateModified"),
        site_name=site.removeprefix("@"),
        image_url=links.absolute(_first(metas, _IMAGES) or _image(described.get("image"))),
    )


def _metas(root: HtmlElement) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for meta in root.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv")
        value = _clean(meta.get("content"))
        if name and value:
            found.setdefault(name.strip().lower(), []).append(value)
    return found


def _clean(text: object) -> str:
    return " ".join(text.split())[:_MAX_VALUE] if isinstance(text, str) else ""


def _first(metas: Mapping[str, list[str]], names: tuple[str, ...]) -> str:
    return next((metas[name][0] for name in names if name in metas), "")


class _Described:
    """The page's own text as JSON-LD describes it."""

    def __init__(self, root: HtmlElement) -> None:
        nodes = [node for script in root.iter("script") for node in _json_nodes(script)]
        self._nodes = [node for node in nodes if not _TEXTS.isdisjoint(_types(node))]
        # An article says more of itself than the page around it.
        self._nodes.sort(key=lambda node: "WebPage" in _types(node))

    def get(self, name: str) -> Any:
        return next((node[name] for node in self._nodes if node.get(name)), None)


def _json_nodes(script: HtmlElement) -> Iterator[dict[str, Any]]:
    if (script.get("type") or "").strip().lower() != "application/ld+json" or not script.text:
        return
    if len(script.text) > _MAX_JSON:
        return
    try:
        value = json.loads(script.text, strict=False)
    except (ValueError, RecursionError):
        return
    waiting = [value]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            yield node
            waiting += [node[key] for key in ("@graph", "mainEntity") if key in node]


def _types(node: Mapping[str, Any]) -> list[str]:
    kinds = node.get("@type")
    return [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)]


def _text(value: Any) -> str:
    return _clean(value[0] if isinstance(value, list) and value else value)


def _name(value: Any) -> str:
    if isinstance(value, list):
        return next((name for entry in value if (name := _name(entry))), "")
    return _clean(value.get("name")) if isinstance(value, dict) else _clean(value)


def _image(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    return _clean(value.get("url")) if isinstance(value, dict) else _clean(value)


def _document_title(root: HtmlElement) -> str:
    """The title, or the only top heading where the title only goes on after it."""
    title = _clean(root.findtext(".//title"))
    headings = [_clean(heading.text_content()) for heading in root.iter("h1")]
    if len(headings) == 1 and headings[0] and title.startswith(headings[0]):
        return headings[0]
    return title or next(filter(None, headings), "")


def _without_site(title: str, site: str) -> str:
    """The title without the site's name at its end."""
    last = _SEPARATORS.split(title)[-1]
    if last != title and site and last.lower() == site.lower():
        return title[: title.rindex(last)].rstrip(" |-–—·:»")
    return title


def _canonical(root: HtmlElement) -> str:
    links = (link for link in root.iter("link") if "canonical" in (link.get("rel") or "").lower().split())
    return next((href for link in links if (href := link.get("href"))), "")


def _language(root: HtmlElement, metas: Mapping[str, list[str]], described: _Described) -> str:
    said = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or root.get("xml:lang")
    found = said or _first(metas, ("content-language", "og:locale", "dc.language", "language"))
    found = found or _text(described.get("inLanguage"))
    name = found.split(",")[0].strip().replace("_", "-")
    return name if re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", name) else ""


def _authors(root: HtmlElement, metas: Mapping[str, list[str]], described: _Described) -> tuple[str, ...]:
    value = described.get("author")
    names = [_name(entry) for entry in (value if isinstance(value, list) else [value])]
    if not any(names):
        names = [name for key in _AUTHORS if key in metas for name in metas[key]]
    if not any(names):
        marked = (node for node in root.iter("a", "span") if "author" in (node.get("rel"), node.get("itemprop")))
        names = [_clean(node.text_content()) for node in marked]
    good = (name.removeprefix("By ").removeprefix("by ").strip() for name in names)
    return tuple(dict.fromkeys(name for name in good if name and len(name) <= 100 and not name.startswith("http")))


def _time(metas: Mapping[str, list[str]], names: tuple[str, ...], described: _Described, key: str) -> str:
    candidates = [*(value for name in names for value in metas.get(name, [])), _text(described.get(key))]
    return next((time for candidate in candidates if (time := iso_time(candidate))), "")


def _marked_time(root: HtmlElement) -> str:
    marked = (node for node in root.iter("time", "abbr", "span") if _says_published(node))
    times = (node.get("datetime") or node.get("content") or node.get("title") or "" for node in marked)
    return next((time for text in times if (time := iso_time(text))), "")


def _says_published(node: HtmlElement) -> bool:
    is_marked = node.get("itemprop") == "datePublished" or node.get("pubdate") is not None
    return is_marked or "published" in (node.get("class") or "").split()


def iso_time(text: str) -> str:
    """A date or time in ISO 8601; empty for what cannot be read without guessing."""
    text = text.strip()
    if found := _DATE.match(text):
        text = "-".join(found.groups())
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        try:
            parsed = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return ""
    if not 1970 <= parsed.year <= 2200:
        return ""
    return parsed.date().isoformat() if len(text) <= 10 else parsed.isoformat()
