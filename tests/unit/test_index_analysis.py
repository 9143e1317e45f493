"""From text to terms."""

from __future__ import annotations

import pytest

from searchmesh.router.index.analysis import LANGUAGES, analyser
from searchmesh.router.index.stopwords import STOP_WORDS


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("english", "The wing's effects", ["wing", "effect"]),
        ("english", "Flow-control, 3.14 in foo_bar()", ["flow", "control", "3", "14", "foo", "bar"]),
        ("english", "“quoted”—dashed…", ["quot", "dash"]),
        ("english", "ＦＵＬＬ width", ["full", "width"]),
        ("french", "l'avion", ["avion"]),
        ("german", "Straße STRASSE", ["strass", "strass"]),
        ("chinese", "东京大学abc的", ["东京", "京大", "大学", "abc", "的"]),
        ("hindi", "हिन्दी भाषा", ["हिन्द", "भाष"]),
        ("hebrew", "שלום, עולם", ["שלום", "עולם"]),
        ("english", "😀 \u200b _ -- \0", []),
        ("english", "", []),
    ],
)
def test_terms_are_the_words_without_endings_and_function_words(language: str, text: str, terms: list[str]) -> None:
    assert analyser(language).terms(text) == terms


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_can_be_analysed(language: str) -> None:
    assert analyser(language).terms("searchmesh 42")


def test_ascii_text_has_the_same_terms_as_in_other_text() -> None:
    text = "The quick_brown fox's 42 jumps; over THE lazy-dog"
    english = analyser("english")
    assert english.terms(f"{text} é")[:-1] == english.terms(text)


def test_a_query_keeps_the_first_different_terms() -> None:
    assert analyser("english").query_terms("wings wing of a bird, wing and feather", 2) == ["wing", "bird"]


def test_long_runs_are_cut() -> None:
    assert analyser("korean").terms("x" * 1000) == ["x" * 64]


def test_stop_words_are_written_as_texts_are_folded() -> None:
    for language, words in STOP_WORDS.items():
        assert language in LANGUAGES
        assert {word.casefold() for word in words} == words
