"""What becomes of the structure of a page."""

from __future__ import annotations

import pytest

from support.pages import markdown_of


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>One</h1><h3>Three</h3><p>Text</p>", "# One\n\n### Three\n\nText"),
        ("<h2>A <em>marked</em> <code>word</code></h2>", "## A *marked* `word`"),
        ("<h2><b>All strong <i>and more</i></b></h2>", "## All strong *and more*"),
        ("<h2><b>Half</b> strong</h2>", "## **Half** strong"),
        ('<h2 id="x">Title<a class="headerlink" href="#x">¶</a></h2>', "## Title"),
        ("<h2><button>Folded section</button></h2>", "## Folded section"),
        ("<p>one</p>two<p>three</p>four", "one\n\ntwo\n\nthree\n\nfour"),
        ("<p>a<br>b</p>", "a\\\nb"),
        ("<div>a<br><br>b</div>", "a\n\nb"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        ("<p>  many \n\t spaces&nbsp;here </p>", "many spaces here"),
        ("<p>soft&shy;hyphen and zero&#8203;width</p>", "softhyphen and zerowidth"),
        ("<details><summary>More</summary><p>Inside</p></details>", "**More**\n\nInside"),
        ("<p>He said <q>yes</q>.</p>", "He said “yes”."),
    ],
)
def test_blocks(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p><b>bold</b>, <i>italic</i>, <s>gone</s>, <code>x = 1</code></p>", "**bold**, *italic*, ~~gone~~, `x = 1`"),
        ("<p><b>bold and <i>both</i></b></p>", "**bold and *both***"),
        ("<p><i>both <b>and</b> more</i></p>", "*both **and** more*"),
        ("<p>a<b> spaced </b>b</p>", "a **spaced** b"),
        ("<p><b><b>twice</b></b></p>", "**twice**"),
        ("<p>in<b>si</b>de</p>", "in**si**de"),
        ("<p>x<b>“quoted”</b>y</p>", "x“quoted”y"),  # CommonMark would show the asterisks
        ("<p><code>a`b</code> and <code>``</code></p>", "``a`b`` and ``` `` ```"),
        ("<p>H<sub>2</sub>O, x<sup>2</sup></p>", "H<sub>2</sub>O, x<sup>2</sup>"),
        ("<p><b></b><i> </i>x</p>", "x"),
        ("<b><div>one</div><div>two</div></b>", "**one**\n\n**two**"),
    ],
)
def test_marks(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>snake_case and _edges_</p>", "snake_case and \\_edges\\_"),
        ("<p>2 * 3 and *starred*</p>", "2 * 3 and \\*starred\\*"),
        ("<p>&lt;div&gt; but a &lt; b</p>", "\\<div> but a < b"),
        ("<p>AT&amp;T and &amp;amp;</p>", "AT&T and \\&amp;"),
        ("<p># no heading</p>", "\\# no heading"),
        ("<p>1. no list</p>", "1\\. no list"),
        ("<p>- no list</p>", "\\- no list"),
        ("<p>&gt; no quote</p>", "\\> no quote"),
        ("<p>a<br># b</p>", "a\\\n\\# b"),
        ("<p>[x] `tick`</p>", "\\[x\\] \\`tick\\`"),
        ("<p>C:\\new\\*</p>", "C:\\new\\\\\\*"),
    ],
)
def test_text_that_looks_like_markup_stays_text(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="/x">t</a>', "[t](https://site.example/x)"),
        ('<a href="y?q=1&amp;r=2">t</a>', "[t](https://site.example/guide/y?q=1&r=2)"),
        ('<a href="//cdn.example/z">t</a>', "[t](https://cdn.example/z)"),
        ('<a href="../up/./a">t</a>', "[t](https://site.example/up/a)"),
        ('<a href="#part">t</a>', "[t](https://site.example/guide/page#part)"),
        ('<a href=" https://a.example/b c(d) ">t</a>', "[t](https://a.example/b%20c%28d%29)"),
        ('<a href="javascript:alert(1)">t</a>', "t"),
        ('<a href="http://[broken">t</a>', "[t](http://%5Bbroken)"),
        ('<a href="mailto:a@b.example">t</a>', "[t](mailto:a@b.example)"),
        ('<a href="/x"> spaced </a>', "[spaced](https://site.example/x)"),
        ('<a href="/x"></a>text', "text"),
        ('a <a href="/x"><b>bold</b> link</a> b', "a [**bold** link](https://site.example/x) b"),
        ('<a href="/x"><div>one</div><div>two</div></a>', "[one](https://site.example/x)\n\n[two](https://site.example/x)"),
    ],
)  # fmt: skip
def test_links(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


def test_the_base_element_decides_where_relative_links_lead() -> None:
    html = '<html><head><base href="/docs/v2/"></head><body><a href="a">t</a></body></html>'
    assert markdown_of(html) == "[t](https://site.example/docs/v2/a)"


def test_links_of_a_page_without_an_address_stay_as_they_are() -> None:
    assert markdown_of('<a href="/x">t</a>', url="") == "[t](/x)"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="/i.png" alt="A boat">', "![A boat](https://site.example/i.png)"),
        ('<img src="/i.png" alt="a [big] boat" title="T">', '![a \\[big\\] boat](https://site.example/i.png "T")'),
        ('<a href="/big"><img src="/i.png" alt="x"></a>', "[![x](https://site.example/i.png)](https://site.example/big)"),
        ('<img src="data:image/gif;base64,R0lGOD" data-src="/lazy.jpg" alt="x">', "![x](https://site.example/lazy.jpg)"),
        ('<img srcset="/s.jpg 320w, /l.jpg 1024w" alt="x">', "![x](https://site.example/l.jpg)"),
        ('<picture><source srcset="/a.webp 2x"><img alt="x"></picture>', "![x](https://site.example/a.webp)"),
        ('t<img src="/pixel.gif" width="1" height="1">', "t"),
        ('t<img src="data:image/png;base64,AAAA" alt="inline">', "t"),
        ('<figure><img src="/i.png" alt="x"><figcaption>A caption</figcaption></figure>',
         "![x](https://site.example/i.png)\n\nA caption"),
    ],
)  # fmt: skip
def test_images(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ('<ol start="3"><li>a<li>b</ol>', "3. a\n4. b"),
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul></ul>", "- a\n  - b\n    1. c"),
        ("<ul><li>a</li><ul><li>inside</li></ul></ul>", "- a\n  - inside"),
        ("<ol><li>a<ul><li>b</ul></ol>", "1. a\n   - b"),
        ("<ul><li><p>a</p><p>b</p></li><li>c</li></ul>", "- a\n\n  b\n\n- c"),
        ("<ul><li>a<ol start=2><li>b</ol></ul>", "- a\n\n  2. b"),
        ("<ul><li>a</ul><ul><li>b</ul>", "- a\n\n* b"),
        ("<ol><li>a</ol><ol><li>b</ol>", "1. a\n\n1) b"),
        ("<ul>stray<li>a</ul>", "- stray\n- a"),
        ("<ul><li></li><li>a</li></ul>", "- a"),
        ('<ul><li><input type="checkbox" checked> done<li><input type="checkbox"> open</ul>', "- [x] done\n- [ ] open"),
        ("<ul><li>a<pre>x\ny</pre></ul>", "- a\n\n  ```\n  x\n  y\n  ```"),
        ("<ul><li><blockquote>q</blockquote></ul>", "- > q"),
        ("<li>alone", "alone"),
        ("<dl><dt>Term<dd>Meaning<dt>Two<dt>Names<dd>Of one</dl>",
         "- **Term**\n\n  Meaning\n\n- **Two**\n\n  **Names**\n\n  Of one"),
    ],
)  # fmt: skip
def test_lists(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
        ("<blockquote><ul><li>a</ul></blockquote>", "> - a"),
    ],
)
def test_quotes(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


def test_nesting_beyond_any_sense_becomes_flat() -> None:
    html = "<ul><li>item " * 40 + "end" + "</ul>" * 40
    written = markdown_of(html)
    assert written.count("item") == 40
    assert max(len(line) - len(line.lstrip()) for line in written.splitlines()) <= 24
