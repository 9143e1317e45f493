"""Which queries are taken to be in another language than a collection."""

from __future__ import annotations

import pytest

from searchmesh.router.language import other_language


@pytest.mark.parametrize(
    ("text", "language", "other"),
    [
        ("Wie viele Punkte hat die Verteidigung abgegeben?", "english", "German"),
        ("¿Cuántos puntos permitió la defensa de los Panthers?", "english", "Spanish"),
        ("what is the capital of France", "german", "English"),
        ("Сколько очков пропустили", "english", "Cyrillic letters"),
        ("多少分", "english", "CJK letters"),
        ("how many points", "russian", "Latin letters"),
        ("Πόσους πόντους", "english", "Greek letters"),
    ],
)
def test_a_foreign_query_is_told_by_its_letters_or_small_words(text: str, language: str, other: str) -> None:
    assert other_language(text, language) == other


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("how many points did the Panthers score", "english"),
        ("Die Hard", "english"),
        ("Bauhaus", "english"),
        ("Wie viele Punkte hat die Verteidigung abgegeben?", "german"),
        ("日本の首都", "japanese"),
        ("東京", "japanese"),
        ("多少分", "chinese"),
        ("колико поена", "serbian"),
        ("koliko poena", "serbian"),
        ("mennyi pontot engedett a védelem", "hungarian"),
        ("2023 – 100 %", "russian"),
        ("", "english"),
    ],
)
def test_what_is_not_evident_is_left_open(text: str, language: str) -> None:
    assert other_language(text, language) is None
