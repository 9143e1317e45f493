"""Formulas of a page as TeX: what the page carries as its source, or else its MathML put into TeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lxml.etree import _Element

from searchmesh.reader.document.blocks import Formula
from searchmesh.reader.html.vocabulary import classes

_TEX_ENCODINGS = frozenset({"application/x-tex", "text/x-tex", "latex", "tex"})
_DISPLAY_STYLE = re.compile(r"^\{\\(?:display|text)style\s*(.*)\}$", re.DOTALL)
_DISPLAY_IMAGE = "mwe-math-fallback-image-display"
_IMAGE_CLASSES = frozenset({"latex", "tex", "math", "mwe-math-fallback-image-inline", _DISPLAY_IMAGE})

_MAX_DEPTH = 40
"""Of MathML; what lies deeper is taken as plain text."""


def formula_of(element: _Element) -> Formula | None:
    """The formula that an element is, None if it is none.

    Known are ``math`` (with a TeX annotation or ``alttext``, or alone), the elements of KaTeX and MathJax, and images
    with TeX as their alternative text.
    """
    tag = element.tag
    if tag == "math":
        tex = _tex_of_math(element)
        return Formula(tex, element.get("display") == "block") if tex else None
    if tag == "script":
        kind = (element.get("type") or "").partition(";")
        if kind[0] != "math/tex" or not (element.text or "").strip():
            return None
        return Formula((element.text or "").strip(), "mode=display" in kind[2])
    if tag == "img":
        alt = (element.get("alt") or "").strip()
        names = classes(element)
        if not alt or _IMAGE_CLASSES.isdisjoint(names):
            return None
        return Formula(_without_style(alt), _DISPLAY_IMAGE in names)
    if tag == "mjx-container" or (tag == "span" and "katex" in classes(element)):
        inner = next(element.iter("math"), None)
        tex = _tex_of_math(inner) if inner is not None else ""
        return Formula(tex, _is_display(element)) if tex else None
    return None


def _is_display(element: _Element) -> bool:
    above = element.getparent()
    return element.get("display") == "true" or (above is not None and "katex-display" in classes(above))


def _tex_of_math(math: _Element) -> str:
    for annotation in math.iter("annotation"):
        tex = (annotation.text or "").strip()
        if tex and (annotation.get("encoding") or "").lower() in _TEX_ENCODINGS:
            return _without_style(tex)
    if alternative := (math.get("alttext") or "").strip():
        return _without_style(alternative)
    return re.sub(r"\s+", " ", _tex(math, 0)).strip()


def _without_style(tex: str) -> str:
    """Without the ``{\\displaystyle …}`` that Wikipedia puts around every formula."""
    found = _DISPLAY_STYLE.match(tex)
    return " ".join((found[1] if found else tex).split())


def _group(tex: str) -> str:
    return tex if len(tex) == 1 else f"{{{tex}}}"


def _script(template: str) -> Callable[[list[str]], str]:
    return lambda parts: template.format(*(_group(part) for part in parts))


_SHAPES: Mapping[str, tuple[int, Callable[[list[str]], str]]] = {
    "mfrac": (2, lambda parts: f"\\frac{{{parts[0]}}}{{{parts[1]}}}"),
    "msup": (2, _script("{}^{}")),
    "msub": (2, _script("{}_{}")),
    "msubsup": (3, _script("{}_{}^{}")),
    "munder": (2, _script("{}_{}")),
    "mover": (2, _script("{}^{}")),
    "munderover": (3, _script("{}_{}^{}")),
    "mroot": (2, lambda parts: f"\\sqrt[{parts[1]}]{{{parts[0]}}}"),
}
"""Number of children and what becomes of them."""

_OPERATORS = {
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "±": r"\pm ", "→": r"\to ",
    "∈": r"\in ", "∂": r"\partial ", "−": "-", "\u2061": "", "\u2062": "", "\u2063": "", "{": r"\{", "}": r"\}",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ", "θ": r"\theta ",
    "λ": r"\lambda ", "μ": r"\mu ", "π": r"\pi ", "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\phi ",
    "ω": r"\omega ", "Γ": r"\Gamma ", "Δ": r"\Delta ", "Σ": r"\Sigma ", "Ω": r"\Omega ",
}  # fmt: skip


def _tex(node: _Element, depth: int) -> str:
    """Presentation MathML as TeX."""
    tag = str(node.tag)
    if depth > _MAX_DEPTH:
        return "".join(node.itertext())
    if tag in ("mi", "mn", "mo", "mtext", "ms"):
        text = "".join(node.itertext()).strip()
        if tag == "mtext":
            return f"\\text{{{text}}}" if text else " "
        if tag == "mi" and len(text) > 1:
            return f"\\operatorname{{{text}}}"
        return "".join(_OPERATORS.get(character, character) for character in text)
    if tag in ("annotation", "annotation-xml", "mphantom"):
        return ""
    children = [_tex(child, depth + 1) for child in node if isinstance(child.tag, str)]
    shape = _SHAPES.get(tag)
    if shape is not None and len(children) == shape[0]:
        return shape[1]([child.strip() for child in children])
    if tag == "msqrt":
        return f"\\sqrt{{{''.join(children)}}}"
    if tag == "mtable":
        rows = r" \\ ".join(children)
        return rf"\begin{{matrix}}{rows}\end{{matrix}}"
    if tag == "mtr":
        return " & ".join(children)
    if tag == "mspace":
        return " "
    return "".join(children) if children else (node.text or "")
