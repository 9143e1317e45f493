"""Broken, deep and large markup becomes a tree, and nothing of its text is lost."""

from __future__ import annotations

import pytest

from searchmesh.reader.html.tree import parse
from support.pages import markdown_of, text_of


def _text(html: str) -> str:
    root = parse(html)
    assert root is not None
    return " ".join(root.itertext())


@pytest.mark.parametrize("tag", ["div", "span", "b", "ul", "blockquote", "table", "font", "section"])
@pytest.mark.parametrize("depth", [255, 300, 5_000, 100_000])
def test_depth_loses_no_text(tag: str, depth: int) -> None:
    html = f"<p>before</p>{f'<{tag}>' * depth}deep{f'</{tag}>' * depth}<p>after</p>"
    assert _text(html).split() == ["before", "deep", "after"]


def test_depth_without_ends_loses_no_text() -> None:
    assert _text("<div>a" * 3_000 + "<p>after").count("a") == 3_001


def test_tags_that_others_close_are_no_depth() -> None:
    assert markdown_of("<ul>" + "<li>x" * 1_000 + "</ul>").count("- x") == 1_000


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>a<div>b</p>c</div>d", ["a", "bc", "d"]),
        ("<b><i>a</b>b</i>c", ["abc"]),
        ("<table><tr><td>a<tr><td>b</table>c", ["a", "b", "c"]),
        ("a < b > c", ["a", "<", "b", ">", "c"]),
        ("<p a='x>y'>a</p>", ["a"]),
        ("<p class=x>a", ["a"]),
        ("a<!-- never closed", ["a"]),
        ("a<p>b\x00c\x01</p>", ["a", "bc"]),
        ("<html><html><body><body>a", ["a"]),
        ("</p></div>a", ["a"]),
        ("<svg><title>no</title></svg>a", ["a"]),
        ("&#0;&#x110000;&nosuch; a", ["a"]),
    ],
)  # fmt: skip
def test_broken_markup(html: str, words: list[str]) -> None:
    assert [word for word in text_of(html).split() if word in words] == words


def test_a_tree_of_nothing_is_none() -> None:
    assert parse("") is None
    assert parse("   ") is None
