"""The parts that figures are made of."""

from __future__ import annotations

import asyncio
import os
from itertools import islice
from pathlib import Path

import psutil
import pytest
import tokenizers

from searchmesh.client import Document
from searchmesh.v1 import embedding_pb2
from searchmesh.v1.embedding_pb2_grpc import EmbeddingStub
from searchmesh_bench.bare import bare_service
from searchmesh_bench.figures import FIGURES
from searchmesh_bench.figures.figure import Comparison, Figure, at_least, at_most
from searchmesh_bench.figures.memory import growth, resident_mib
from searchmesh_bench.figures.questions import questions
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.figures.texts import Texts
from searchmesh_bench.load import loopback
from searchmesh_bench.report import figure_table
from support.models import TEXT, write_tokenizer


def figure(*comparisons: Comparison) -> Figure:
    return Figure("name", "Title", "ours", "theirs", "ratio", comparisons, ["Measured somehow."])


def test_targets_are_bounds_that_belong_to_what_they_allow() -> None:
    assert at_least(0.9).met_by(0.9)
    assert not at_least(0.9).met_by(0.899)
    assert at_most(3).met_by(3)
    assert not at_most(3).met_by(3.001)
    assert (str(at_least(0.9)), str(at_most(3.0))) == ("≥ 0.9", "≤ 3")


def test_a_figure_is_met_if_every_target_is() -> None:
    met = Comparison("met", 9, 10, 0.9, at_least(0.9))
    missed = Comparison("missed", 8, 10, 0.8, at_least(0.9))
    without = Comparison("nothing asked", 1, 10, 0.1)
    assert without.met is None
    assert figure(met, without).met
    assert not figure(met, missed).met
    assert [row["met"] for row in figure(met, missed, without).as_json()["rows"]] == [True, False, None]


def test_tables_show_both_sides_the_result_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    rows = [Comparison("fast", 15_912.3, 16_400, 0.9703, at_least(0.9)), Comparison("slow", 1, 2, 0.5, at_least(0.9))]
    Console(width=80).print(figure_table(figure(*rows)))
    shown = capsys.readouterr().out
    for word in ("Title", "15,912", "16,400", "0.97", "≥ 0.9 met", "≥ 0.9 MISSED", "Measured somehow."):
        assert word in shown


def test_every_figure_has_the_name_it_is_asked_for_by() -> None:
    of_the_mesh = ["embedding", "cache", "search", "reranking", "reader", "indexing", "quality", "memory"]
    assert list(FIGURES) == [*of_the_mesh, "exporting", "graphs_xlm", "graphs_qwen", "vision", "decoding", "drafting"]


async def test_sides_take_turns_in_going_first() -> None:
    order: list[str] = []

    async def ours() -> int:
        order.append("ours")
        return 1

    async def reference() -> str:
        order.append("reference")
        return "2"

    assert await alternating(3, ours, reference) == [(1, "2")] * 3
    assert order == ["ours", "reference", "reference", "ours", "ours", "reference"]


def test_texts_have_about_the_tokens_that_were_asked_for_and_are_all_different(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    corpus = [f"{TEXT} {number}" for number in range(200)]
    texts = Texts(tokenizer, corpus, seed=7).about(16, 100)
    assert len(set(texts)) == 100
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    assert set(lengths) <= set(range(12, 21))
    assert len(set(lengths)) > 5
    assert Texts(tokenizer, corpus, seed=7).about(16, 100) == texts


def test_questions_are_runs_of_words_of_the_documents_and_new_in_each_run() -> None:
    documents = [Document("long", " ".join(f"w{number}" for number in range(1000))), Document("short", "too short")]
    asked = list(islice(questions(documents), 50))
    for question in asked:
        words = question.split()
        assert 4 <= len(words) <= 10
        assert question in documents[0].text
    assert list(islice(questions(documents), 50)) != asked


async def test_the_bare_service_answers_with_its_payload_and_ends_with_the_block() -> None:
    payload = embedding_pb2.EmbedResponse(model="bare").SerializeToString()
    before = psutil.Process().children()
    with bare_service(payload) as target:
        started = [child for child in psutil.Process().children() if child not in before]
        async with loopback(target) as channel:
            answer = await EmbeddingStub(channel).Embed(embedding_pb2.EmbedRequest(), timeout=5)
        assert answer.model == "bare"
    assert started
    assert not [child for child in started if child.is_running()]


def test_growth_is_the_slope_of_the_second_half() -> None:
    minutes = [number / 10 for number in range(100)]
    warming_up = [50 + 100 * minute for minute in minutes[:50]]
    leaking = [550 + 2 * minute for minute in minutes[50:]]
    assert growth(minutes, warming_up + leaking) == pytest.approx(2)
    assert growth([0.0], [5.0]) == 0


async def test_memory_is_that_of_a_process_with_its_children() -> None:
    pid = os.getpid()
    alone = resident_mib({"this": pid})["this"]
    assert alone > 10
    child = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        assert resident_mib({"this": pid})["this"] > alone
    finally:
        child.kill()
        await child.wait()
    assert resident_mib({"gone": child.pid}) == {}
