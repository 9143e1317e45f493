"""The small languages of the search command: filter conditions, snippets."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from searchmesh.cli.conditions import parse_conditions
from searchmesh.cli.snippets import highlighting, snippet, terms_of
from searchmesh.runtime.errors import InvalidArgument

FIELDS = {"lang": "tag", "year": "number"}
EN = {"tag": {"field": "lang", "values": ["en"]}}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["lang=en"], EN),
        ([" lang = en , de "], {"tag": {"field": "lang", "values": ["en", "de"]}}),
        (["lang!=en"], {"not": EN}),
        (["lang=a=b"], {"tag": {"field": "lang", "values": ["a=b"]}}),
        (["year>=2000"], {"number": {"field": "year", "gte": 2000.0}}),
        (["year<1e3"], {"number": {"field": "year", "lt": 1000.0}}),
        (["year=3"], {"number": {"field": "year", "gte": 3.0, "lte": 3.0}}),
        (["year!=3"], {"not": {"number": {"field": "year", "gte": 3.0, "lte": 3.0}}}),
        (["lang=en", "year>1"], {"all": {"filters": [EN, {"number": {"field": "year", "gt": 1.0}}]}}),
    ],
)
def test_conditions(texts: list[str], expected: dict[str, object]) -> None:
    parsed = parse_conditions(texts, FIELDS)
    assert parsed is not None
    assert json_format.MessageToDict(parsed.to_proto()) == expected


def test_no_conditions_are_no_filter() -> None:
    assert parse_conditions([], FIELDS) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lang", "is not like"),
        ("lang=", "is not like"),
        ("color=red", "no filter field 'color'; it has: lang, year"),
        ("lang>=en", "is a tag"),
        ("year=new", "'new' is not a number"),
        ("year>1,2", "not a number"),
    ],
)
def test_what_is_no_condition_is_explained(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_conditions([text], FIELDS)


def test_small_words_are_not_looked_for_unless_there_are_no_others() -> None:
    assert terms_of("How do I compress a FILE, a file?") == ["how", "compress", "file"]
    assert terms_of("a b") == ["a", "b"]


def test_inflected_words_are_highlighted_whole() -> None:
    found = highlighting(terms_of("compress files")).findall("Compressing a file; compressed files; unfiled")
    assert found == ["Compressing", "file", "compressed", "files"]
    assert highlighting([]).search("anything") is None


def test_a_snippet_is_where_the_words_are() -> None:
    text = "filler words " * 100 + "now compress the file with gzip " + "more filler " * 100
    shown = snippet(text, terms_of("compress file gzip"), 100)
    assert "compress the file with gzip" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) <= 104


@pytest.mark.parametrize("text", ["short", "x" * 1000, "", "a\n\nb"])
def test_a_snippet_is_one_line_of_bounded_length(text: str) -> None:
    shown = snippet(text, terms_of("nothing of it"), 100)
    assert "\n" not in shown
    assert len(shown) <= 104
