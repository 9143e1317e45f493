"""Which queries are taken for code, or for questions about it."""

from __future__ import annotations

import time

import pytest

from searchmesh.router.code_signs import code_signs


@pytest.mark.parametrize(
    ("query", "sign"),
    [
        ("what does find_zero do", "the identifier 'find_zero'"),
        ("parseUserInput", "the identifier 'parseUserInput'"),
        ("usage of json.dumps(", "the call 'json.dumps('"),
        ("sorted(values)", "the call 'sorted(values)'"),
        ("a == b", "the operator '=='"),
        ("std::vector of pairs", "the operator '::'"),
        ("xs[0] + xs[1]", "the operator 'xs[0]'"),
        ("<div> in the middle", "the operator '<div>'"),
        ("def add", "the statement 'def add'"),
        ("import numpy", "the statement 'import numpy'"),
        ("SELECT name FROM users", "the statement 'SELECT name FROM'"),
        ("for (;;)", "the statement 'for ('"),
        ("int x = 5;", "the statement 'int x = 5;'"),
        ("read a file in python", "the word 'python'"),
        ("C++ templates", "the operator '++'"),
        ("merge two tuples", "the word 'tuples'"),
        ("return the longest string", "the words 'return' and 'string'"),
        ("sort lists of integers", "the words 'sort' and 'list'"),
    ],
)
def test_code_and_talk_of_code_have_signs_that_are_named(query: str, sign: str) -> None:
    assert code_signs(query) == sign


@pytest.mark.parametrize(
    "query",
    [
        "The Idol (TV series)",
        "Neil Armstrong",
        "iPhone and eBay",
        "mRNA expression in T cells",
        "gross domestic product(GDP) is related to dengue",
        "reduction of plasma Lp(a)",
        "Ca(2+) channels and p53(-/-) mice",
        "how many points did the Panthers score?",
        "Πόσα sacks είχε ο Jared Allen;",
        "heat transfer in laminar layers; a review",
        "and/or, either-or",
        "a@b.example",
        "number numbers",
        "",
    ],
)
def test_other_queries_have_none(query: str) -> None:
    assert code_signs(query) is None


def test_long_code_is_shown_shortened() -> None:
    assert code_signs(f"def {'very_' * 20}long():\n    pass") == "the identifier 'very_very_very_very_very…'"


@pytest.mark.parametrize(
    "query", ["a" * 250_000, "_" * 250_000, "((((" * 60_000, "a(" * 120_000, "= ; " * 60_000, "SELECT " * 30_000]
)
def test_no_query_takes_long(query: str) -> None:
    start = time.perf_counter()
    code_signs(query)
    assert time.perf_counter() - start < 0.2
