"""The index on a real Redis: collections, documents, both kinds of retrieval, filters, faults."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from searchmesh.router.index import (
    AllOf,
    AnyOf,
    Collection,
    Document,
    FieldType,
    Filter,
    FilterField,
    Json,
    Not,
    NumberIn,
    Record,
    Space,
    TagIn,
    Vector,
)
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.runtime.errors import AlreadyExists, FailedPrecondition, IndexUnavailable, NotFound
from support.redis_server import RedisServer
from support.router import unit

FIELDS = (FilterField("language", FieldType.TAG), FilterField("a year, @{}|", FieldType.NUMBER))
YEAR = FIELDS[1].name


def collection(name: str = "articles", *, language: str = "english", uid: str = "u1") -> Collection:
    return Collection(name, (Space("text", "model", 4),), language, FIELDS, created_at=1.5, uid=uid)


def record(id: str, text: str = "some text", *, title: str = "", vector: Vector | None = None, **meta: Json) -> Record:
    vector = unit(1, 0, 0, 0) if vector is None else vector
    return Record(Document(id, title, text, meta), b"hash of " + id.encode(), {"text": vector})


async def test_a_definition_comes_back_as_it_was_created(index: RedisIndex) -> None:
    first, second = collection("b"), collection("a", language="german")
    await index.create_collection(first)
    await index.create_collection(second)
    assert await index.get_collection("b") == first
    assert await index.list_collections() == [second, first]


async def test_a_second_collection_of_a_name_is_refused_and_leaves_nothing_behind(
    index: RedisIndex, redis_server: RedisServer
) -> None:
    await index.create_collection(collection())
    with pytest.raises(AlreadyExists, match="articles"):
        await index.create_collection(collection(uid="u2"))
    assert (await index.get_collection("articles")).uid == "u1"
    with redis_server.client() as client:
        assert client.execute_command("FT._LIST") == [b"searchmesh:{articles}:u1"]


async def test_a_deleted_collection_leaves_no_key(index: RedisIndex, redis_server: RedisServer) -> None:
    await index.create_collection(collection())
    await index.upsert(collection(), [record(f"d{number}") for number in range(20)])
    assert await index.delete_collection(collection()) == 20
    with pytest.raises(NotFound):
        await index.get_collection("articles")
    with redis_server.client() as client:
        assert client.keys() == []
        assert client.execute_command("FT._LIST") == []


async def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(
    index: RedisIndex, redis_server: RedisServer
) -> None:
    await index.create_collection(collection())
    await index.upsert(collection(), [record("d")])
    with redis_server.client() as client:
        client.hdel("searchmesh:collections", "articles")
        client.sadd("searchmesh:dropped", "searchmesh:{articles}:u1:")
        await index.open()
        assert client.keys() == []
        assert client.execute_command("FT._LIST") == []


async def test_what_holds_an_old_definition_does_not_touch_the_new_collection(index: RedisIndex) -> None:
    await index.create_collection(collection())
    await index.delete_collection(collection())
    await index.create_collection(collection(uid="u2"))
    with pytest.raises(NotFound):
        await index.upsert(collection(), [record("d")])
    with pytest.raises(NotFound):
        await index.delete_collection(collection())
    with pytest.raises(NotFound):
        await index.lexical(collection(), "text", 10)
    assert await index.fetch(collection(), ["d"]) == [None]
    assert await index.count(collection(uid="u2")) == 0


async def test_documents_come_back_as_they_were_sent(index: RedisIndex) -> None:
    await index.create_collection(collection())
    ids = ["plain", "with:colon*?[", "ünïcödé 😀", "a" * 512]
    meta: dict[str, Json] = {"language": ["en", "de"], YEAR: 1999.5, "nested": {"list": [1, None, True, "x"]}}
    sent = [Document(id, "A “title”", "text\n\twith\u200b שלום", meta) for id in ids]
    await index.upsert(collection(), [Record(document, b"h", {"text": unit(1, 0, 0, 0)}) for document in sent])
    assert await index.fetch(collection(), [ids[2], "missing", ids[1]]) == [sent[2], None, sent[1]]
    assert await index.content_hashes(collection(), ["missing", ids[3]]) == [None, b"h"]
    found = await index.dense(collection(), "text", unit(1, 0, 0, 0), 10)
    assert {match.id for match in found} == set(ids)
    assert await index.delete(collection(), [ids[1], "missing"]) == 1
    assert await index.count(collection()) == 3


async def test_dense_matches_are_the_nearest_by_cosine(index: RedisIndex) -> None:
    await index.create_collection(collection())
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 4)).astype(np.float32)
    await index.upsert(collection(), [record(str(n), vector=vector) for n, vector in enumerate(vectors)])
    query = unit(1, 2, 3, 4)
    cosines = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ query
    found = await index.dense(collection(), "text", query, 20)
    assert [match.id for match in found] == [str(n) for n in np.argsort(-cosines)[:20]]
    assert [match.score for match in found] == pytest.approx(np.sort(cosines)[::-1][:20].tolist(), abs=1e-5)


async def test_a_vector_of_another_size_is_refused(index: RedisIndex) -> None:
    await index.create_collection(collection())
    with pytest.raises(ValueError, match="4 dimensions"):
        await index.upsert(collection(), [record("d", vector=np.ones(5, np.float32))])


async def test_lexical_matches_any_term_and_titles_weigh_more(index: RedisIndex) -> None:
    await index.create_collection(collection())
    await index.upsert(
        collection(),
        [
            record("both", "wings and engines"),
            record("one", "the wing of a bird"),
            record("title", "of the house", title="Wing"),
            record("other", "nothing of it here"),
        ],
    )
    found = await index.lexical(collection(), "Engine, wing!", 10)
    assert [match.id for match in found] == ["both", "title", "one"]
    assert all(match.score > 0 for match in found)


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "the “curly”—quoted word", "curly"),
        ("english", "call os.path.join_all(a)", "join all"),
        ("german", "die großen Häuser", "GROSSES HAUS"),
        ("hebrew", "שלום עולם", "עולם"),
        ("arabic", "مرحبا بالعالم", "بالعالم"),
        ("hindi", "यह हिन्दी में लिखा है", "हिन्दी"),
        ("chinese", "东京大学的研究", "大学"),
        ("thai", "สวัสดีครับ", "สวัสดี"),
    ],
)
async def test_words_are_found_in_any_script(index: RedisIndex, language: str, text: str, query: str) -> None:
    one = collection(language=language)
    await index.create_collection(one)
    await index.upsert(one, [record("d", text), record("other", "xyzzy")])
    assert [match.id for match in await index.lexical(one, query, 10)] == ["d"]


@pytest.mark.parametrize("query", ["", "   ", "the of and", "😀", '"', "-@*|(){}[]~%$:\\", "\0", "\u200b"])
async def test_a_query_without_terms_finds_nothing(index: RedisIndex, query: str) -> None:
    await index.create_collection(collection())
    await index.upsert(collection(), [record("d", "the text of it")])
    assert await index.lexical(collection(), query, 10) == []


async def test_a_megabyte_of_query_is_cut(index: RedisIndex) -> None:
    await index.create_collection(collection())
    await index.upsert(collection(), [record("d", "needle")])
    words = " ".join(f"word{number}" for number in range(120_000))
    assert len(words) > 1_000_000
    assert [match.id for match in await index.lexical(collection(), f"needle {words}", 10)] == ["d"]


YEARS = {"a": 1990, "b": 2000, "c": 2010}


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        (TagIn("language", ("en",)), "ab"),
        (TagIn("language", ("EN",)), ""),
        (TagIn("language", ("de", "c,d e")), "bc"),
        (TagIn("language", ("*",)), ""),
        (TagIn("language", ("",)), "d"),
        (NumberIn(YEAR, gte=2000), "bc"),
        (NumberIn(YEAR, gt=2000), "c"),
        (NumberIn(YEAR, lte=2000), "ab"),
        (NumberIn(YEAR, lt=2000), "a"),
        (NumberIn(YEAR, gt=1990, lt=2010.5), "bc"),
        (Not(TagIn("language", ("en",))), "cd"),
        (Not(NumberIn(YEAR, gte=0)), "d"),
        (Not(Not(TagIn("language", ("de",)))), "b"),
        (AllOf((TagIn("language", ("en",)), NumberIn(YEAR, gte=2000))), "b"),
        (AnyOf((TagIn("language", ("de",)), NumberIn(YEAR, lt=2000))), "ab"),
        (AllOf((AnyOf((TagIn("language", ("de",)), NumberIn(YEAR, lt=2000))), Not(NumberIn(YEAR, lte=1990)))), "b"),
        (AnyOf((AllOf((TagIn("language", ("en",)),)),)), "ab"),
    ],
)
async def test_filters_hold_for_both_retrievers_and_leave_scores_alone(
    index: RedisIndex, filter: Filter, ids: str
) -> None:
    await index.create_collection(collection())
    languages: dict[str, Json] = {"a": "en", "b": ["en", "de"], "c": "c,d e", "d": ""}
    meta = {id: {"language": languages[id]} | ({YEAR: YEARS[id]} if id in YEARS else {}) for id in "abcd"}
    records = [record(id, "same " * (1 + number), **meta[id]) for number, id in enumerate("abcd")]
    await index.upsert(collection(), records)
    dense = await index.dense(collection(), "text", unit(1, 0, 0, 0), 10, filter)
    assert {match.id for match in dense} == set(ids)
    lexical = await index.lexical(collection(), "same", 10, filter)
    unfiltered = dict(await index.lexical(collection(), "same", 10))
    assert dict(lexical) == {id: unfiltered[id] for id in ids}


async def test_an_update_replaces_text_vector_and_filter_values(index: RedisIndex) -> None:
    await index.create_collection(collection())
    await index.upsert(collection(), [record("d", "before", **{"language": "en", YEAR: 1})])
    await index.upsert(collection(), [record("d", "after", vector=unit(0, 1, 0, 0))])
    assert await index.count(collection()) == 1
    assert await index.lexical(collection(), "before", 10) == []
    assert [match.id for match in await index.lexical(collection(), "after", 10)] == ["d"]
    assert (await index.dense(collection(), "text", unit(0, 1, 0, 0), 1))[0].score == pytest.approx(1)
    assert await index.dense(collection(), "text", unit(0, 1, 0, 0), 1, TagIn("language", ("en",))) == []
    assert await index.dense(collection(), "text", unit(0, 1, 0, 0), 1, NumberIn(YEAR, gte=0)) == []


async def test_a_redis_that_hangs_costs_the_timeout_and_then_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        index = RedisIndex(server.url, read_timeout_s=0.1, write_timeout_s=1.0)
        await index.create_collection(collection())
        server.pause()
        start = time.perf_counter()
        for _ in range(3):
            with pytest.raises(IndexUnavailable, match="100 ms"):
                await index.lexical(collection(), "text", 10)
        assert time.perf_counter() - start < 0.6
        start = time.perf_counter()
        with pytest.raises(IndexUnavailable, match="rest"):
            await index.lexical(collection(), "text", 10)
        assert time.perf_counter() - start < 0.05
        server.resume()
        await asyncio.sleep(1.1)
        assert await index.lexical(collection(), "text", 10) == []
        await index.close()


async def test_a_redis_that_is_gone_fails_at_once_and_is_found_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        index = RedisIndex(server.url, read_timeout_s=0.5, write_timeout_s=1.0)
        await index.open()
        server.kill()
        start = time.perf_counter()
        for _ in range(5):
            with pytest.raises(IndexUnavailable):
                await index.get_collection("articles")
        assert time.perf_counter() - start < 0.5
        server.start()
        await asyncio.sleep(1.1)
        await index.open()
        await index.close()


async def test_a_full_redis_says_so_and_still_answers_searches(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--maxmemory", "10mb", "--maxmemory-policy", "noeviction") as server:
        index = RedisIndex(server.url, read_timeout_s=1.0, write_timeout_s=5.0)
        await index.create_collection(collection())
        text = " ".join(f"word{number}" for number in range(50_000))
        much = [record(str(number), text) for number in range(100)]
        with pytest.raises(FailedPrecondition, match="full"):
            await index.upsert(collection(), much)
        assert await index.lexical(collection(), "word7", 1) != []
        await index.close()
