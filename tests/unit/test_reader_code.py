"""Blocks of code keep their text, and the language that the page names."""

from __future__ import annotations

import pytest

from support.pages import markdown_of


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ('<pre><code class="language-python">x</code></pre>', "python"),
        ('<pre class="language-none"><code class="language-c++ hljs">x</code></pre>', "c++"),
        ('<pre class="lang-sh">x</pre>', "sh"),
        ('<pre class="brush: java; gutter: false">x</pre>', "java"),
        ('<pre class="brush:sql">x</pre>', "sql"),
        ('<pre><code class="hljs rust">x</code></pre>', "rust"),
        ('<pre class="sourceCode haskell">x</pre>', "haskell"),
        ('<div class="highlight-python3 notranslate"><div class="highlight"><pre>x</pre></div></div>', "python3"),
        ('<div class="highlight highlight-source-shell"><pre>x</pre></div>', "shell"),
        ('<pre data-lang="yaml">x</pre>', "yaml"),
        ('<figure class="highlight toml"><pre>x</pre></figure>', "toml"),
        ('<div class="highlight-wrapper"><pre>x</pre></div>', ""),
        ('<pre lang="en">x</pre>', ""),
        ('<pre class="language-plaintext">x</pre>', ""),
        ('<article class="language-python"><pre>x</pre></article>', ""),
    ],
)
def test_the_language(html: str, language: str) -> None:
    assert markdown_of(html) == f"```{language}\nx\n```"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>\n\n  a\n    b  \n\n</pre>", "  a\n    b"),
        ("<pre>a<br>b</pre>", "a\nb"),
        ("<pre><span>a</span> <b>*b*</b>\n<i>_c_</i></pre>", "a *b*\n_c_"),
        ('<pre><span class="lineno">1</span>a\n<span class="lineno">2</span>b</pre>', "a\nb"),
        ("<pre><div>a</div><div>b</div></pre>", "a\nb"),
        ("<pre>&lt;p&gt; &amp;amp;</pre>", "<p> &amp;"),
        ("<pre>a\tb\r\nc</pre>", "a   b\nc"),
    ],
)
def test_the_text(html: str, text: str) -> None:
    assert markdown_of(html) == f"```\n{text}\n```"


def test_a_fence_is_longer_than_those_inside() -> None:
    assert markdown_of("<pre>```\nx\n````</pre>") == "`````\n```\nx\n````\n`````"


def test_code_without_text_is_nothing() -> None:
    assert markdown_of("<p>a</p><pre> \n </pre><p>b</p>") == "a\n\nb"
