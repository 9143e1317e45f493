"""Blocks of code: their text as it was written, and their language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import _Element, iterwalk

from searchmesh.reader.html.vocabulary import classes, is_hidden, words

_EXPLICIT = re.compile(r"^(?:language|lang)-([A-Za-z][\w+#.-]*)$")
_LOOSE = re.compile(r"^(?:language|lang|highlight(?:-source|-text)?|brush:?)[-:]?([A-Za-z][\w+#]*);?$")
_NOT_LANGUAGES = words("none default text plain plaintext nohighlight notranslate")
_NAMES = words(
    "ada apache awk bash batch c clojure cmake cpp c++ csharp c# css cuda d dart diff dockerfile elixir elm erlang"
    " fortran fsharp go golang graphql groovy haskell hcl html http ini java javascript js json jsx julia kotlin latex"
    " less lisp lua makefile markdown matlab nginx nim nix objectivec ocaml pascal perl php powershell prolog protobuf"
    " pycon python python3 py r rb ruby rust scala scheme scss sh shell solidity sql swift tcl toml ts tsx typescript"
    " vb verilog vhdl vim wasm xml yaml yml zig zsh console"
)
"""What counts as a language where the page does not say that it is one."""

_MARKERS = words("highlight sourceCode hljs prettyprint codehilite code shiki highlighter-rouge")


def code_text(element: _Element) -> str:
    """The text of a ``pre`` with its white space, without numbers of lines and blank lines around it."""
    text = "".join(_pieces(element)).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).replace("\u00a0", " ")
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines)


def _pieces(element: _Element) -> Iterator[str]:
    walk = iterwalk(element, events=("start", "end"))
    for event, node in walk:
        if event == "start":
            if node is not element and is_hidden(node):
                walk.skip_subtree()
            elif node.tag == "br":
                yield "\n"
            elif node.text:
                yield node.text
        elif node is not element:
            # Some highlighters make each line a block of its own.
            if node.tag in ("div", "li", "p", "tr") and not (node.tail or "").startswith("\n"):
                yield "\n"
            if node.tail:
                yield node.tail


def language_of(element: _Element) -> str:
    """The language that the page names for a ``pre``, in lower case; empty if it names none."""
    inner = element.find(".//code")
    own = [node for node in (inner, element) if node is not None]
    around: list[_Element] = []
    above = element.getparent()
    while above is not None and above.tag in ("div", "figure", "td", "tr", "tbody", "table") and len(around) < 5:
        around.append(above)
        above = above.getparent()
    return next((name for node in own if (name := _explicit(node))), "") or next(
        (name for node in own + around if (name := _listed(node))), ""
    )


def _explicit(node: _Element) -> str:
    """A ``language-…`` class, as HTML recommends: any name will do."""
    found = (_EXPLICIT.match(name) for name in classes(node))
    names = (match[1].lower() for match in found if match)
    return next((name for name in names if name not in _NOT_LANGUAGES), "")


def _listed(node: _Element) -> str:
    """What highlighters write in other places, if it is the name of a language."""
    values = [node.get("data-lang"), node.get("data-language"), node.get("lang")]
    found = classes(node)
    values += [match[1] for name in found if (match := _LOOSE.match(name))]
    if "brush:" in found:
        values += [name.rstrip(";") for name in found]
    if not _MARKERS.isdisjoint(found):
        values += found
    return next((name for value in values if value and (name := value.lower()) in _NAMES), "")
