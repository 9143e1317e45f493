"""Whatever users write, Redis reads it as text: no syntax errors, no operators, and what was indexed is found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from searchmesh.router.index import (
    AllOf,
    AnyOf,
    Collection,
    Document,
    FieldType,
    Filter,
    FilterField,
    Not,
    NumberIn,
    Record,
    Space,
    TagIn,
)
from searchmesh.router.index.analysis import analyser
from searchmesh.router.index.redis_engine import MAX_QUERY_TERMS, RedisIndex
from support.redis_server import RedisServer

COLLECTION = Collection(
    "c",
    (Space("text", "model", 2),),
    "english",
    (FilterField("tag", FieldType.TAG), FilterField("n}|*", FieldType.NUMBER)),
    uid="u",
)
VECTOR = np.array([1, 0], dtype=np.float32)

OPERATORS = st.text(alphabet="abAB01 \t\"'@{}[]()|-~%*:;,.<>=$\\/&^!?#_+`inf", max_size=40)
WORDS = st.lists(
    st.sampled_from(["ismissing", "inf", "nan", "AND", "or", "not", "$p0", "=>{$weight: 9}", "*=>[KNN 1 @v0 $p0]"])
).map(" ".join)
TEXTS = st.one_of(st.text(max_size=200), OPERATORS, WORDS)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)

FILTERS: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(
        st.builds(TagIn, st.just("tag"), st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
        st.builds(NumberIn, st.just("n}|*"), gte=NUMBERS, lt=st.none() | NUMBERS),
        st.builds(NumberIn, st.just("n}|*"), gt=st.none() | NUMBERS, lte=NUMBERS),
    ),
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)

relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Runner:
    """An index and the loop its connections belong to."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.index = RedisIndex(url, read_timeout_s=2.0, write_timeout_s=5.0)
        self.loop.run_until_complete(self.index.create_collection(COLLECTION))
        self.write("fixed", "fixed text", "tag", 1.0)

    def write(self, id: str, text: str, tag: str, number: float) -> None:
        document = Document(id, "", text, {"tag": tag, "n}|*": number})
        self.loop.run_until_complete(self.index.upsert(COLLECTION, [Record(document, b"h", {"text": VECTOR})]))

    def lexical(self, query: str, filter: Filter | None = None) -> set[str]:
        found = self.loop.run_until_complete(self.index.lexical(COLLECTION, query, 10, filter))
        return {match.id for match in found}

    def dense(self, filter: Filter) -> set[str]:
        found = self.loop.run_until_complete(self.index.dense(COLLECTION, "text", VECTOR, 10, filter))
        return {match.id for match in found}

    def close(self) -> None:
        self.loop.run_until_complete(self.index.close())
        self.loop.close()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        runner = Runner(server.url)
        yield runner
        runner.close()


@relaxed
@example("ismissing")
@example("inf|nan")
@example("fixed) | (@tag:{tag}")
@given(TEXTS)
def test_any_text_is_a_query_and_is_found_where_it_was_indexed(runner: Runner, text: str) -> None:
    runner.write("sample", text, "t", 0.0)
    terms = set(analyser("english").query_terms(text, MAX_QUERY_TERMS))
    expected = {"sample"} if terms else set()
    if terms & {"fix", "text"}:
        expected.add("fixed")
    assert runner.lexical(text) == expected


@relaxed
@given(TEXTS, NUMBERS)
def test_any_tag_and_number_is_found_exactly(runner: Runner, tag: str, number: float) -> None:
    runner.write("sample", "word", tag, number)
    assert "sample" in runner.dense(TagIn("tag", (tag,)))
    assert "sample" in runner.dense(NumberIn("n}|*", gte=number, lte=number))
    assert "sample" not in runner.dense(TagIn("tag", (tag + "x",)))
    assert "sample" not in runner.dense(NumberIn("n}|*", gt=number))


def _holds(filter: Filter, tag: str, number: float) -> bool:
    match filter:
        case AllOf(parts):
            return all(_holds(part, tag, number) for part in parts)
        case AnyOf(parts):
            return any(_holds(part, tag, number) for part in parts)
        case Not(inner):
            return not _holds(inner, tag, number)
        case TagIn(_, values):
            return tag in values
        case NumberIn(_, gte, gt, lte, lt):
            return (
                (gte is None or number >= gte)
                and (gt is None or number > gt)
                and (lte is None or number <= lte)
                and (lt is None or number < lt)
            )


@relaxed
@example(Not(Not(TagIn("tag", ("t",)))), "t", 0.0)
@example(Not(AllOf((Not(TagIn("tag", ("t",))), NumberIn("n}|*", gte=0.0)))), "t", 0.0)
@given(FILTERS, TEXTS, NUMBERS)
def test_any_filter_means_in_redis_what_it_says(runner: Runner, filter: Filter, tag: str, number: float) -> None:
    runner.write("sample", "fixed", tag, number)
    expected = {"sample"} if _holds(filter, tag, number) else set()
    if _holds(filter, "tag", 1.0):
        expected.add("fixed")
    assert runner.dense(filter) == expected
    assert runner.lexical("fixed", filter) == expected
