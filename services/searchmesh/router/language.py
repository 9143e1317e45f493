"""Whether a query is written in another language than a collection."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from searchmesh.router.index.stopwords import STOP_WORDS

FOREIGN_WEIGHT = 0.5
"""Weight of the lexical ranking for a query in another language: names and numbers are found, little else is.

Measured nDCG@10 on xquad, a third of the questions against the 240 English paragraphs, with the vectors of the English
question standing for those of a model of many languages (dense alone: .939), at weight 1, ½ and 0: German .886 .947
.939, Spanish .903 .949 .939, Turkish .918 .953 .939, Russian .948 .948 .939. With English and German paragraphs in one
collection, German questions: .923 .948 .932. Against a model of English alone words do better than it, whatever their
weight: German .573 .573 .503.
"""

_SURE_WORDS = 2
"""Stop words of a language that tell it. Of xquad's German, Spanish, Greek and Romanian questions 76 to 86 % had them,
and of 1,190 English ones 2 looked like another language."""

_READ = 1000
"""Characters, from the beginning."""

_SCRIPTS = {
    "arabic": {"ARABIC"},
    "armenian": {"ARMENIAN"},
    "chinese": {"CJK"},
    "greek": {"GREEK"},
    "hebrew": {"HEBREW"},
    "hindi": {"DEVANAGARI"},
    "japanese": {"CJK", "HIRAGANA", "KATAKANA"},
    "korean": {"HANGUL", "CJK"},
    "nepali": {"DEVANAGARI"},
    "russian": {"CYRILLIC"},
    "serbian": {"CYRILLIC", "LATIN"},
    "tamil": {"TAMIL"},
    "thai": {"THAI"},
    "yiddish": {"HEBREW"},
}
"""Of the languages that are not written in Latin letters; a script is the first word of its letters' Unicode names."""

_WORD = re.compile(r"\w+")


def other_language(text: str, language: str) -> str | None:
    """What a text is written in, for people to read, if that is evidently not `language`; else None."""
    text = text[:_READ]
    script = _script(text)
    if script is not None and script not in _SCRIPTS.get(language, {"LATIN"}):
        return f"{script.capitalize() if len(script) > 3 else script} letters"
    if language not in STOP_WORDS:
        return None
    words = set(_WORD.findall(text.casefold()))
    (best, votes), (_, second) = Counter({name: len(words & own) for name, own in STOP_WORDS.items()}).most_common(2)
    return best.capitalize() if best != language and votes >= _SURE_WORDS and votes > second else None


def _script(text: str) -> str | None:
    """The script that most letters are of."""
    scripts = Counter(unicodedata.name(letter, "?").split(" ", 1)[0] for letter in text if letter.isalpha())
    return scripts.most_common(1)[0][0] if scripts else None
