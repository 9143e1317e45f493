"""The main content of a page, found by rules, with its structure."""

from __future__ import annotations

import json

import pytest

from searchmesh.reader.options import Format, Retention
from searchmesh.reader.page import Ending, Source
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from support.pages import article, read_all


def test_the_text_is_kept_and_what_stands_around_it_is_not() -> None:
    info, text, _ = read_all(article("<p>One more line about the tide, which was low.</p>"))
    assert text.startswith("The first boat came in")
    assert text.rstrip().endswith("since the spring.")
    assert "about the tide" in text
    for around in ("News", "Most read", "herring", "Copyright", "A day at the harbour"):
        assert around not in text
    assert info.title == "A day at the harbour"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<pre><code class="language-sh">ls</code></pre>', "```sh\nls\n```"),
        ("<table><tr><th>Boat<th>Crew<tr><td>Ida<td>3</table>", "| Boat | Crew |\n| --- | --- |\n| Ida | 3 |"),
        ("<ul><li>nets<ul><li>large</ul><li>ropes</ul>", "- nets\n  - large\n- ropes"),
        ("<h2>The quay</h2><p>It was built of granite long before anybody here was born.</p>", "## The quay\n\nIt"),
        ('<figure><img src="/q.jpg" alt="The quay"><figcaption>The quay at noon</figcaption></figure>',
         "![The quay](https://site.example/q.jpg)\n\nThe quay at noon"),
        ('<blockquote class="twitter-tweet"><p>Gulls!</p>— A gull</blockquote>', "> Gulls!\n>\n> — A gull"),
        ('<p>It weighs <math alttext="m=3"><mi>m</mi></math> pounds, as the men at the scales will say.</p>', "$m=3$"),
        ('<p>A claim that has its source.<sup><a href="#fn1">1</a></sup></p><ol><li id="fn1">The log.</li></ol>',
         "its source.[^1]"),
        ("<dl><dt>Trawl<dd>A net that is dragged along the bottom of the sea</dl>", "- **Trawl**\n\n  A net that"),
    ],
)  # fmt: skip
def test_structure_inside_of_the_text_survives(body: str, expected: str) -> None:
    assert expected in read_all(article(body))[1]


def test_notes_stand_at_the_end_if_the_text_points_to_them() -> None:
    body = '<p>A claim that has its source.<sup><a href="#fn1">1</a></sup></p><ol><li id="fn1">The log.</li></ol>'
    assert read_all(article(body))[1].endswith("\n\n[^1]: The log.")


@pytest.mark.parametrize(
    "body",
    [
        '<p><a href="/other">Read also: the herring and its enemies in the northern seas</a></p>',
        '<div class="newsletter"><p>Subscribe to our newsletter for more news of boats like these ones.</p></div>',
        '<p hidden>A hidden line about the tide.</p><p>Another line, about the tide, that everybody can read.</p>',
    ],
)  # fmt: skip
def test_what_only_points_elsewhere_is_left_out(body: str) -> None:
    text = read_all(article(body))[1]
    assert "herring" not in text
    assert "Subscribe" not in text
    assert "hidden line" not in text


def test_a_call_at_the_end_is_left_out() -> None:
    page = article("").replace("</article>", "<p>Follow us on every network there is!</p><h3>Comments</h3></article>")
    assert read_all(page)[1].rstrip().endswith("since the spring.")


def test_a_page_of_links_alone_is_its_links() -> None:
    entries = "".join(f'<li><a href="/b/{n}">Boat number {n} of the great northern fleet</a></li>' for n in range(30))
    text = read_all(f"<html><body><div><h1>Boats</h1><ul>{entries}</ul></div></body></html>")[1]
    assert text.count("Boat number") == 30


def test_a_short_page_is_read_whole() -> None:
    assert read_all("<p>Hello <b>world</b></p>")[1] == "Hello **world**"


def test_the_whole_page_is_to_be_had() -> None:
    text = read_all(article(""), whole_page=True)[1]
    assert "Most read" in text
    assert "Copyright" in text
    assert "# A day at the harbour" in text


def test_selectors_narrow_the_page() -> None:
    page = article('<div class="box"><p>In the box</p></div><p id="x">Alone</p><div class="box"><p>Again</p></div>')
    assert read_all(page, target_selectors=(".box", "#x"))[1] == "In the box\n\nAlone\n\nAgain"
    assert read_all(page, target_selectors=(".box",), remove_selectors=("article > :nth-child(5)",))[1] == "Again"
    assert "In the box" not in read_all(page, remove_selectors=(".box",))[1]
    with pytest.raises(NotFound):
        read_all(page, target_selectors=(".nothing",))


def test_links_and_images_are_kept_as_far_as_they_are_wanted() -> None:
    page = '<p>See <a href="/a">the log</a>. <img src="/i.png" alt="A boat"></p>'
    assert read_all(page)[1] == "See [the log](https://site.example/a). ![A boat](https://site.example/i.png)"
    assert read_all(page, links=Retention.TEXT, images=Retention.TEXT)[1] == "See the log. A boat"
    assert read_all(page, links=Retention.NONE, images=Retention.NONE)[1] == "See ."


def test_summaries_list_what_the_text_has_whatever_it_shows() -> None:
    page = '<p><a href="/a">the <b>log</b></a> <a href="/a">again</a> <img src="/i.png" alt="A boat"></p><p>t</p>'
    _, text, summary = read_all(
        page, links=Retention.NONE, images=Retention.NONE, links_summary=True, images_summary=True
    )
    assert text == "t"
    assert [(link.url, link.text) for link in summary.links] == [("https://site.example/a", "the log")]
    assert [(image.url, image.text) for image in summary.images] == [("https://site.example/i.png", "A boat")]


def test_plain_text_has_words_and_no_markup() -> None:
    page = '<h2>Boats</h2><ol><li><b>Ida</b><li><a href="/a">Jo</a></ol><p><img src="/i.png" alt="x">end</p>'
    assert read_all(page, format=Format.TEXT)[1] == "Boats\n\n1. Ida\n2. Jo\n\nend"


def test_json_has_the_page_and_its_content() -> None:
    page = article(
        '<p>She said "aye" \\ and <a href="/a">went</a>.</p>', head='<meta name="author" content="I. Brandt">'
    )
    value = json.loads(read_all(page, format=Format.JSON, links_summary=True)[1])
    assert (value["title"], value["authors"], value["language"]) == ("A day at the harbour", ["I. Brandt"], "en")
    assert '"aye"' in value["content"]
    assert value["links"] == [{"url": "https://site.example/a", "text": "went"}]
    assert "images" not in value


def test_a_bound_cuts_at_a_word() -> None:
    _, text, summary = read_all("<p>" + "harbour " * 1000 + "</p>", max_tokens=10)
    assert text == "harbour harbour harbour harbour harbour"
    assert summary.ending is Ending.LENGTH
    assert read_all("<p>short</p>", max_tokens=10)[2].ending is Ending.STOP


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", b"a\n  b *c*", "a\n  b *c*"),
        ("text/markdown", b"# a\n\n- b", "# a\n\n- b"),
        ("application/json", b'{"a": 1}', '```json\n{"a": 1}\n```'),
        ("application/ld+json", b"{}", "```json\n{}\n```"),
        ("application/rss+xml", b"<rss/>", "```xml\n<rss/>\n```"),
        ("", b"just words", "just words"),
        ("", b"<!DOCTYPE html><p>a", "a"),
        ("application/octet-stream", b"\xef\xbb\xbf<html><p>a", "a"),
    ],
)
def test_other_documents(content_type: str, body: bytes, expected: str) -> None:
    assert read_all(Source(body, content_type))[1] == expected


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        (Source(b"<html><body><script>app()</script></body></html>", "text/html"), FailedPrecondition, "NO_TEXT"),
        (Source(b"   ", "text/html"), FailedPrecondition, "NO_TEXT"),
        (Source(b" \n", "text/plain"), FailedPrecondition, "NO_TEXT"),
        (Source(b"<!-- nothing -->", "text/html"), FailedPrecondition, "NO_TEXT"),
        (Source(b"\x89PNG\r\n", "image/png"), InvalidArgument, "NEEDS_MODEL"),
        (Source(b"\xff\xd8\xff\xe0", ""), InvalidArgument, "NEEDS_MODEL"),
        (Source(b"PK\x03\x04\x00\x00", ""), InvalidArgument, "UNSUPPORTED_TYPE"),
        (Source(b"x", "video/mp4"), InvalidArgument, "UNSUPPORTED_TYPE"),
        (Source(b"%PDF-1.7 and no more", "application/pdf"), InvalidArgument, "UNREADABLE_DOCUMENT"),
    ],
)
def test_what_cannot_be_read_says_why(source: Source, error: type[Exception], reason: str) -> None:
    with pytest.raises(error) as raised:
        read_all(source)
    assert raised.value.reason == reason  # type: ignore[attr-defined]
