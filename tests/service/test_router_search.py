"""Searches over a real index, with everything around it as fakes that can fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from searchmesh.router.index import Document, NumberIn, TagIn
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.ports import SourceAnswer
from searchmesh.router.query import (
    Degradation,
    FusionMethod,
    FusionOptions,
    Hit,
    Mode,
    RerankOptions,
)
from searchmesh.runtime.errors import (
    FailedPrecondition,
    IndexUnavailable,
    InvalidArgument,
    NotFound,
    Overloaded,
    SearchmeshError,
    Unavailable,
)
from support.router import BLENDING, PLAIN, FakeSource, raises
from support.router_world import TEXTS, World, ids


@pytest.fixture
async def world(index: RedisIndex) -> World:
    world = World(index)
    await world.fill()
    return world


async def hang() -> None:
    await asyncio.sleep(60)


async def test_hybrid_search_fuses_both_retrievers_and_shows_the_scores_of_each(world: World) -> None:
    result = await world.search(fusion=FusionOptions(FusionMethod.RRF))
    assert ids(result)[:1] == ["flow"]
    assert set(ids(result)) == set(TEXTS)
    top = result.hits[0]
    assert top.document == Document("flow", "", TEXTS["flow"], {"year": 1950, "kind": "paper"})
    assert top.collection == "papers"
    assert top.stage_scores.keys() == {"dense.text", "lexical", "fused"}
    assert top.score == top.stage_scores["fused"] == pytest.approx(2 / 61)
    assert result.candidates == 4
    assert result.degraded == []
    assert set(world.last.stages.seconds) == {"embed", "dense.text", "lexical", "fuse", "fetch"}


async def test_each_mode_uses_its_retriever_alone(world: World) -> None:
    dense = await world.search(mode=Mode.DENSE)
    assert all(hit.stage_scores.keys() == {"dense.text", "fused"} for hit in dense.hits)
    lexical = await world.search(mode=Mode.LEXICAL)
    assert set(ids(lexical)) == {"flow", "wing", "heat"}
    assert len(world.embedder.timeouts) == 1


async def test_convex_fusion_follows_its_weight(world: World) -> None:
    only_lexical = FusionOptions(FusionMethod.CONVEX, dense_weight=0.0)
    result = await world.search("butter wing", fusion=only_lexical)
    lexical = await world.search("butter wing", mode=Mode.LEXICAL)
    assert ids(result)[:2] == ids(lexical)[:2]
    assert sum(hit.score for hit in result.hits) == pytest.approx(0, abs=1e-9)


async def test_pages_cut_one_order(world: World) -> None:
    whole = await world.search()
    pages = [await world.search(top_k=1, offset=offset) for offset in range(5)]
    assert [id for page in pages for id in ids(page)] == ids(whole)
    assert pages[4].hits == []


async def test_ids_only_fetches_nothing(world: World) -> None:
    result = await world.search(ids_only=True)
    assert {hit.document.id: hit.document for hit in result.hits} == {id: Document(id) for id in TEXTS}
    assert "fetch" not in world.last.stages.seconds


async def test_filters_hold_in_every_retriever(world: World) -> None:
    assert set(ids(await world.search(filter=NumberIn("year", gte=1960)))) == {"wing", "heat", "cake"}
    assert ids(await world.search("wing", filter=TagIn("kind", ("food",)))) == ["cake"]


async def test_a_filter_on_an_unknown_field_names_it(world: World) -> None:
    with pytest.raises(InvalidArgument, match="'color' is not a filter field") as caught:
        await world.search(filter=TagIn("color", ("red",)))
    assert caught.value.field == "filter.tag.field"


async def test_an_unknown_collection_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        await world.search("q", "nothing")


async def test_a_deleted_document_is_left_out_of_the_page(world: World) -> None:
    collection = await world.collections.get("papers")
    fetch = world.index.fetch

    async def delete_first(*arguments: object) -> list[Document | None]:
        await world.index.delete(collection, ["flow"])
        return await fetch(*arguments)  # type: ignore[arg-type]

    world.index.fetch = delete_first  # type: ignore[method-assign,assignment]
    assert set(ids(await world.search())) == {"wing", "heat", "cake"}


# ---- reranking


async def test_reranking_is_done_if_the_collection_names_a_model_or_the_search_wants_it(world: World) -> None:
    await world.fill("ranked", reranker=PLAIN)
    await world.search()
    await world.search("q", "ranked", rerank=RerankOptions(enabled=False))
    assert world.reranker.calls == []
    await world.search("laminar", "ranked")
    await world.search(rerank=RerankOptions(enabled=True))
    await world.search(rerank=RerankOptions(model="other"))
    assert [model for model, _, _ in world.reranker.calls] == [PLAIN, "", "other"]


async def test_a_trained_reranker_orders_by_its_score_alone(world: World) -> None:
    result = await world.search(rerank=RerankOptions(enabled=True))
    assert ids(result)[:2] == ["wing", "heat"]
    assert [hit.score for hit in result.hits] == [2, 1, 0, 0]
    assert result.hits[0].stage_scores["rerank"] == 2
    # Where it does not decide, the fused order stays.
    assert ids(result)[2:] == ["flow", "cake"]


async def test_a_blending_reranker_is_one_vote_among_those_of_retrieval(world: World) -> None:
    world.reranker.model = BLENDING
    result = await world.search("laminar flow", rerank=RerankOptions(enabled=True))
    assert ids(result)[0] == "flow"
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(0, abs=1e-9)
    assert result.hits[0].stage_scores.keys() == {"dense.text", "lexical", "fused", "rerank"}


async def test_only_the_depth_is_reranked_and_the_rest_follows_in_fused_order(world: World) -> None:
    fused = ids(await world.search())
    result = await world.search(rerank=RerankOptions(enabled=True, depth=2))
    assert len(world.reranker.calls[0][2]) == 2
    assert set(ids(result)[:2]) == set(fused[:2])
    assert ids(result)[2:] == fused[2:]
    assert "rerank" not in result.hits[2].stage_scores
    assert result.hits[2].score == result.hits[2].stage_scores["fused"]


FAULTS = [
    (Unavailable("the reranking service cannot be reached", reason="RERANKER_UNAVAILABLE"), "RERANKER_UNAVAILABLE"),
    (Overloaded("full"), "OVERLOADED"),
    (FailedPrecondition("not loaded"), "FAILED_PRECONDITION"),
]


@pytest.mark.parametrize(("error", "reason"), FAULTS)
async def test_without_the_reranker_the_order_is_the_fused_one(
    world: World, error: SearchmeshError, reason: str
) -> None:
    fused = ids(await world.search())
    world.reranker.behaviour = raises(error)
    result = await world.search(rerank=RerankOptions(enabled=True))
    assert ids(result) == fused
    assert [(one.stage, one.reason) for one in result.degraded] == [("rerank", reason)]
    assert "fused order" in result.degraded[0].message
    with pytest.raises(type(error)):
        await world.search(rerank=RerankOptions(required=True))


async def test_a_reranker_that_the_search_named_wrongly_is_the_callers_mistake(world: World) -> None:
    world.reranker.behaviour = raises(NotFound("no model is named 'x'"))
    with pytest.raises(NotFound):
        await world.search(rerank=RerankOptions(model="x"))
    assert (await world.search(rerank=RerankOptions(enabled=True))).degraded[0].stage == "rerank"


async def test_the_reranker_gets_what_is_left_of_the_deadline(world: World) -> None:
    await world.search(rerank=RerankOptions(enabled=True))
    await world.search(rerank=RerankOptions(enabled=True), deadline_s=0.5)
    assert world.reranker.timeouts[0] == 1.0
    assert 0.3 < world.reranker.timeouts[1] < 0.5
    assert world.embedder.timeouts[-1] <= 0.25


async def test_without_time_the_reranker_is_not_asked(world: World) -> None:
    async def slow() -> None:
        await asyncio.sleep(0.1)

    world.embedder.behaviour = slow
    result = await world.search(rerank=RerankOptions(enabled=True), deadline_s=0.115)
    assert [(one.stage, one.reason) for one in result.degraded] == [("rerank", "DEADLINE_EXCEEDED")]
    assert world.reranker.timeouts == []
    assert result.hits != []


# ---- failing retrievers


async def test_without_the_embedder_hybrid_search_is_lexical(world: World) -> None:
    world.embedder.behaviour = raises(Unavailable("the embedding service cannot be reached", reason="X_UNAVAILABLE"))
    result = await world.search()
    assert set(ids(result)) == {"flow", "wing", "heat"}
    assert [(one.stage, one.reason) for one in result.degraded] == [("dense.text", "X_UNAVAILABLE")]
    with pytest.raises(Unavailable):
        await world.search(mode=Mode.DENSE)


async def test_a_lexical_failure_leaves_the_dense_ranking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise IndexUnavailable("the index did not answer within 100 ms")

    monkeypatch.setattr(world.index, "lexical", fail)
    result = await world.search()
    assert len(result.hits) == 4
    assert [(one.stage, one.reason) for one in result.degraded] == [("lexical", "INDEX_UNAVAILABLE")]


async def test_without_the_index_there_is_no_search(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise IndexUnavailable("the index cannot be reached")

    monkeypatch.setattr(world.index, "lexical", fail)
    monkeypatch.setattr(world.index, "dense", fail)
    with pytest.raises(IndexUnavailable):
        await world.search()
    world.embedder.behaviour = raises(Unavailable("away"))
    with pytest.raises(IndexUnavailable):
        await world.search()


async def test_a_bug_is_not_taken_for_a_fault(world: World) -> None:
    world.embedder.behaviour = raises(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await world.search()


# ---- several collections and sources


async def test_collections_are_searched_together(world: World) -> None:
    await world.fill("more", texts={"flow": "laminar flow again", "tea": "green tea"})
    result = await world.search("laminar flow", "papers", "more", "papers")
    assert {(hit.collection, hit.document.id) for hit in result.hits[:2]} == {("papers", "flow"), ("more", "flow")}
    assert result.candidates == 6
    tea = await world.search("tea", "papers", "more", mode=Mode.DENSE)
    dense = [hit.stage_scores["dense.text"] for hit in tea.hits]
    assert dense == sorted(dense, reverse=True)
    assert len(world.embedder.timeouts) == 2


SOURCE_HITS = [Hit("", Document("s1", "Far", "laminar good good good"), 9.0), Hit("", Document("s2", "", "x"), 1.0)]


async def test_a_source_is_fused_and_reranked_with_the_rest(world: World) -> None:
    world.sources["far"] = FakeSource(SourceAnswer(SOURCE_HITS))
    result = await world.search("laminar", "papers", "far", rerank=RerankOptions(enabled=True))
    assert (result.hits[0].collection, result.hits[0].document.id) == ("far", "s1")
    assert result.hits[0].document.title == "Far"
    assert result.hits[0].stage_scores["far"] == 9.0
    assert world.sources["far"].calls == [("laminar", Mode.HYBRID, 100, None)]
    world.reranker.model = BLENDING
    blended = await world.search("laminar", "papers", "far", rerank=RerankOptions(enabled=True))
    assert ("far", "s1") in [(hit.collection, hit.document.id) for hit in blended.hits[:2]]


@pytest.mark.parametrize("behaviour", [raises(Unavailable("the source far cannot be reached", reason="FAR_AWAY"))])
async def test_a_source_that_fails_is_left_out_and_named(world: World, behaviour: Callable[[], object]) -> None:
    world.sources["far"] = FakeSource(SourceAnswer(SOURCE_HITS))
    world.sources["far"].behaviour = behaviour  # type: ignore[assignment]
    result = await world.search("laminar", "papers", "far")
    assert {hit.collection for hit in result.hits} == {"papers"}
    assert [(one.stage, one.reason) for one in result.degraded] == [("far", "FAR_AWAY")]


async def test_what_a_source_did_without_is_passed_on(world: World) -> None:
    world.sources["far"] = FakeSource(SourceAnswer(SOURCE_HITS, [Degradation("dense", "OVERLOADED", "no vectors")]))
    result = await world.search("laminar", "far")
    assert ids(result) == ["s1", "s2"]
    assert result.degraded == [Degradation("far", "OVERLOADED", "dense: no vectors")]


async def test_retrievers_run_side_by_side(world: World) -> None:
    async def slow() -> None:
        await asyncio.sleep(0.2)

    world.sources["far"] = FakeSource(SourceAnswer(SOURCE_HITS))
    world.sources["far"].behaviour = slow
    world.embedder.behaviour = slow
    start = time.perf_counter()
    await world.search("laminar", "papers", "far")
    assert time.perf_counter() - start < 0.35


async def test_a_cancelled_search_cancels_what_it_started(world: World) -> None:
    cancelled = asyncio.Event()

    async def hang_and_tell() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    world.embedder.behaviour = hang_and_tell
    search = asyncio.create_task(world.search())
    await asyncio.sleep(0.05)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert cancelled.is_set()
