"""Footnotes: their marks and their texts find each other, whoever made the page."""

from __future__ import annotations

import pytest

from support.pages import markdown_of

_PANDOC = """<p>A claim.<a href="#fn1" class="footnote-ref" id="fnref1" role="doc-noteref"><sup>1</sup></a></p>
<section class="footnotes" role="doc-endnotes"><hr><ol><li id="fn1"><p>The source.<a href="#fnref1"
class="footnote-back" role="doc-backlink">↩︎</a></p></li></ol></section>"""

_GITHUB = """<p>A claim.<sup><a href="#user-content-fn-x" id="user-content-fnref-x" data-footnote-ref>1</a></sup></p>
<section data-footnotes class="footnotes"><ol><li id="user-content-fn-x"><p>The source. <a
href="#user-content-fnref-x" class="data-footnote-backref">↩</a></p></li></ol></section>"""

_WIKIPEDIA = """<p>A claim.<sup id="cite_ref-1" class="reference"><a href="#cite_note-1">[1]</a></sup></p>
<div class="reflist"><ol class="references"><li id="cite_note-1"><span class="mw-cite-backlink"><b><a
href="#cite_ref-1">^</a></b></span> <span class="reference-text">The source.</span></li></ol></div>"""

_BY_HAND = """<p>A claim.<sup><a name="back1" href="#note1">1</a></sup></p>
<hr><p><a name="note1" href="#back1">1</a> The source.</p>"""

_DOCUTILS = """<p>A claim.<a class="footnote-reference" href="#id2" id="id1">[1]</a></p>
<aside class="footnote" id="id2" role="doc-footnote"><p>The source.</p></aside>"""


@pytest.mark.parametrize("html", [_PANDOC, _GITHUB, _WIKIPEDIA, _DOCUTILS])
def test_a_note_comes_last_and_its_mark_points_to_it(html: str) -> None:
    assert markdown_of(html) == "A claim.[^1]\n\n[^1]: The source."


def test_notes_made_by_hand() -> None:
    assert markdown_of(_BY_HAND).startswith("A claim.[^1]\n\n")
    assert "[^1]: " in markdown_of(_BY_HAND)
    assert "The source." in markdown_of(_BY_HAND)


def test_notes_are_counted_in_the_order_of_their_marks() -> None:
    html = (
        '<p>b<sup><a href="#fnb">2</a></sup> a<sup><a href="#fna">1</a></sup> b<sup><a href="#fnb">2</a></sup></p>'
        '<ol><li id="fna">Note a</li><li id="fnb"><p>Note b</p><p>goes on</p></li></ol>'
    )
    assert markdown_of(html) == "b[^1] a[^2] b[^1]\n\n[^1]: Note b\n\n    goes on\n\n[^2]: Note a"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p>See <a href="#s2">2</a></p><h2 id="s2">Two</h2>', "See [2](https://site.example/guide/page#s2)\n\n## Two"),
        ('<p>See <sup><a href="#gone">1</a></sup></p>', "See [<sup>1</sup>](https://site.example/guide/page#gone)"),
        ('<ul><li><a href="#a">1</a></ul><div id="a"><p>Chapter</p></div>',
         "- [1](https://site.example/guide/page#a)\n\nChapter"),
    ],
)  # fmt: skip
def test_other_links_in_the_page_are_links(html: str, expected: str) -> None:
    assert markdown_of(html) == expected
