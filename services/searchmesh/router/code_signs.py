"""Whether a query is code, or speaks of code: signs that can be shown to the one who asked.

A code space that is searched in vain costs a few milliseconds and some noise, one that is left out costs the answer, so
little is enough. Signs were found in all 163 functions of HumanEval and in 160 of their 163 descriptions in English (78
of the 81 that the lists of words were made without); in 70 of 10,000 titles of Wikipedia ("List of Star Wars
characters"), 5 of 1,109 claims of scifact and 1 of 225 questions of cranfield.
"""

from __future__ import annotations

import re

ENOUGH_WORDS = 2
"""Different words of `_SPEAKING` that make a sign. One would do for all descriptions, but also for 3 % of the titles
and 9 % of the claims and questions; three would leave out 11 descriptions."""

_NOTATION = {
    "the identifier": re.compile(
        r"(?<![\w/@.-])_*[a-zA-Z][a-zA-Z0-9]*(?:_[a-zA-Z0-9]+)+\b"  # snake_case
        r"|\b[a-z]{2,}\d*(?:[A-Z][a-z]{2,})+\b"  # camelCase, but neither mRNA nor iPhone
    ),
    # Not product(GDP), as people forget spaces before parentheses; nor apo(a).
    "the call": re.compile(r"\b[a-z_]\w{2,}\((?:[a-z_'\"][^()\n]{2,}|)\)|\b[a-z]\w*\.[a-z]\w+\("),
    "the operator": re.compile(
        r"(?<!=)==(?!=)|!=|=>|&&|\|\||::|:=|(?<=\w)\+\+|(?<![-<])->(?!-)|\*\*|</?[a-z]+>|\b\w+\[[\w:'\"-]*\]"
    ),
    "the statement": re.compile(
        r"(?m)^\s*(?:def \w+|class \w+[:({]|import \w+|from [\w.]+ import |#include\b|SELECT\b.+\bFROM\b"
        r"|(?:public|private|static|const|let|var|func|fn|function) \w+[\w<>]*\s*[=({:]"
        r"|(?:if|for|while|switch)\s*\(|[^\n=(\[]*[=(\[][^\n]*[;{][ \t]*$)"
    ),
}

_OF_CODE_ONLY = """
    api ascii async bool boolean bytecode c# c++ char chars compiler css dataframe dict enum golang goroutine hashmap
    hexadecimal iterable iterator javascript json kotlin lambda mutex namespace numpy palindrome pandas python recursion
    refactor regex regexp sql stderr stdin stdout struct subclass substring tuple typescript yaml
"""
_OF_CODE_TOO = """
    algorithm argument array character check code compute convert count decode dictionary digit element encode error
    exception false file function given implement import index input integer key library list loop lowercase method
    module nested null number object output parameter parse query return script sort sorted sorting string true
    uppercase value variable write
"""


def _with_plurals(words: str) -> dict[str, str]:
    """Each word and its plural, and the word that is meant."""
    return {form: word for word in words.split() for form in (word, f"{word}s")}


_DECISIVE = _with_plurals(_OF_CODE_ONLY)
_SPEAKING = _with_plurals(_OF_CODE_TOO) | {"class": "class", "classes": "class"}
_WORD = re.compile(r"[a-z]+(?:\+\+|#)?")
_READ = 2000
"""Characters, from the beginning."""

_SHOWN = 24


def code_signs(text: str) -> str | None:
    """What in a text is code, or speaks of it, for people to read; None if nothing is."""
    text = text[:_READ]
    for kind, pattern in _NOTATION.items():
        if match := pattern.search(text):
            return f"{kind} {_shown(match[0])}"
    words = _WORD.findall(text.lower())
    for word in words:
        if word in _DECISIVE:
            return f"the word {word!r}"
    spoken = list(dict.fromkeys(_SPEAKING[word] for word in words if word in _SPEAKING))
    if len(spoken) < ENOUGH_WORDS:
        return None
    return "the words " + " and ".join(map(repr, spoken[:ENOUGH_WORDS]))


def _shown(code: str) -> str:
    code = " ".join(code.split())
    return repr(code if len(code) <= _SHOWN else f"{code[:_SHOWN]}…")
