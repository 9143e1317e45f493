"""Formulas: the source that a page carries, or its MathML put into TeX."""

from __future__ import annotations

import pytest

from support.pages import markdown_of

_KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow>'
    '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true">x2</span></span>'
)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (f"<p>Let {_KATEX} be.</p>", "Let $x^2$ be."),
        (f'<span class="katex-display">{_KATEX}</span>', "$$x^2$$"),
        ('<p>a <script type="math/tex">\\alpha</script> b</p>', "a $\\alpha$ b"),
        ('<p><script type="math/tex; mode=display">\\int f</script></p>', "$$\\int f$$"),
        ('<math alttext="{\\displaystyle a^{2}}"><mi>a</mi></math>', "$a^{2}$"),
        ('<math display="block" alttext="a_b"><mi>a</mi></math>', "$$a_b$$"),
        ('<img class="mwe-math-fallback-image-inline" aria-hidden="true" alt="{\\displaystyle E=mc^{2}}" src="/x.svg">',
         "$E=mc^{2}$"),
        ('<img class="latex" alt="\\frac{1}{2}" src="/l.png">', "$\\frac{1}{2}$"),
        ("<mjx-container><svg></svg><mjx-assistive-mml><math><mi>y</mi></math></mjx-assistive-mml></mjx-container>",
         "$y$"),
        ("<p>It is \\(a_b * c\\) and \\[d_e\\] and $$f_g$$.</p>", "It is $a_b * c$ and $$d_e$$ and $$f_g$$."),
    ],
)  # fmt: skip
def test_sources(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize(
    ("mathml", "tex"),
    [
        ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", "\\frac{a}{b+1}"),
        ("<msup><mi>x</mi><mn>10</mn></msup>", "x^{10}"),
        ("<msub><mi>x</mi><mi>i</mi></msub>", "x_i"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
        ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>0</mn></mrow><mi>n</mi></munderover>",
         "{\\sum}_{i=0}^n"),
        ("<msqrt><mi>x</mi></msqrt>", "\\sqrt{x}"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "\\sqrt[3]{x}"),
        ("<mi>sin</mi><mo>\u2061</mo><mi>θ</mi>", "\\operatorname{sin}\\theta"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr><mtr><mtd><mn>0</mn></mtd><mtd><mn>1</mn></mtd>"
         "</mtr></mtable>", "\\begin{matrix}1 & 0 \\\\ 0 & 1\\end{matrix}"),
        ("<mtext>if</mtext><mspace/><mi>a</mi><mo>≤</mo><mi>b</mi>", "\\text{if} a\\le b"),
    ],
)  # fmt: skip
def test_mathml(mathml: str, tex: str) -> None:
    assert markdown_of(f"<math>{mathml}</math>") == f"${tex}$"


def test_formulas_nested_without_end_are_read_all_the_same() -> None:
    deep = "<msqrt>" * 150 + "<mi>x</mi>" + "</msqrt>" * 150
    assert markdown_of(f"<p><math>{deep}</math></p>").startswith("$\\sqrt{")
