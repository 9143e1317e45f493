"""Evaluation, figures and demo on the real mesh, with sizes that take seconds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from searchmesh.client import AsyncClient, Document
from searchmesh.local import Home, MeshSettings
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench import demo
from searchmesh_bench.figures import Figure
from searchmesh_bench.figures import cache as cache_figure
from searchmesh_bench.figures import embedding as embedding_figure
from searchmesh_bench.figures import indexing as indexing_figure
from searchmesh_bench.figures import memory as memory_figure
from searchmesh_bench.figures import search as search_figure
from searchmesh_bench.mesh import Mesh, running_mesh
from searchmesh_bench.pydocs import corpus
from support.mesh import processes_of

TEXTS = {
    "gzip": "The gzip module reads and writes compressed files, which take less space on disk.",
    "json": "Encode objects as JSON text and parse JSON documents from strings or files.",
    "socket": "Open TCP connections to other machines and exchange bytes over the network.",
}
QUERIES = {"q1": "write compressed files", "q2": "exchange bytes with other machines", "q3": "nobody judged this"}


def write_dataset(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for file, records in (("corpus", texts), ("queries", QUERIES)):
        lines = [json.dumps({"id": id, "text": text}) for id, text in records.items()]
        (folder / f"{file}.jsonl").write_text("\n".join(lines))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tgzip\t2\nq2\tsocket\t1\n")
    return folder


async def evaluated(mesh: MeshSettings, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "searchmesh.cli", "eval", str(folder), "--json"]
    environment = os.environ | {"SEARCHMESH_HOME": str(mesh.home)}
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def test_eval_measures_every_way_of_searching_and_uses_its_collection_again(
    mesh: MeshSettings, client: AsyncClient, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "toy set", TEXTS)
    answer = await evaluated(mesh, folder)
    assert (answer["documents"], answer["queries"]) == (3, 2)
    assert list(answer["modes"]) == ["dense", "lexical", "hybrid", "hybrid+rerank"]
    for mode in answer["modes"].values():
        assert (mode["ndcg_at_10"], mode["recall_at_100"], mode["mrr_at_10"]) == (1, 1, 1)
        assert mode["latency"]["count"] == 2
        assert 0 < mode["latency"]["p50_ms"] <= mode["latency"]["p99_ms"]

    async def collections() -> list[Any]:
        return [found for found in await client.list_collections() if found.name.startswith("eval-toy-set-")]

    (first,) = await collections()
    await evaluated(mesh, folder)
    assert await collections() == [first]
    await evaluated(mesh, write_dataset(folder, TEXTS | {"new": "Something else."}))
    (other,) = await collections()
    assert other.name != first.name
    assert other.document_count == 4
    await client.delete_collection(other.name)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Some of the documentation."""
    return corpus()[:200]


@pytest.fixture
async def measured(
    mesh: MeshSettings, documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mesh]:
    """The shared mesh as figures see it, and figures that are done in seconds."""
    for figure in (embedding_figure, cache_figure, search_figure, indexing_figure, memory_figure):
        monkeypatch.setattr(sys.modules[figure.__module__], "corpus", lambda: documents)
    small = {
        embedding_figure: {"_ROUNDS": 1, "_BATCHES": (8,)},
        cache_figure: {"_ROUNDS": 2, "_ROUND_S": 0.3, "_TEXTS": 20},
        search_figure: {"_SEARCHES": 20, "_WARM_UP": 2},
        indexing_figure: {"_IDLE_S": 1.0, "_PER_SECOND": 20.0, "_WARM_UP_S": 0.2},
    }
    for figure, values in small.items():
        for name, value in values.items():
            monkeypatch.setattr(sys.modules[figure.__module__], name, value)
    cases = sys.modules[embedding_figure.__module__]._CASES
    monkeypatch.setattr(
        sys.modules[embedding_figure.__module__],
        "_CASES",
        tuple(type(case)(case.tokens, 32, case.target) for case in cases),
    )
    async with running_mesh(mesh) as connected:
        yield connected


def check(figure: Figure, rows: int, with_target: int) -> None:
    assert len(figure.comparisons) == rows
    assert sum(row.target is not None for row in figure.comparisons) == with_target
    for row in figure.comparisons:
        assert row.measured > 0
        assert row.reference > 0
    assert figure.conditions


async def test_the_embedding_figure_compares_both_sides_at_two_lengths(measured: Mesh) -> None:
    check(await embedding_figure(measured), rows=6, with_target=2)


async def test_the_cache_figure_compares_with_a_bare_service(measured: Mesh) -> None:
    figure = await cache_figure(measured)
    check(figure, rows=2, with_target=2)
    assert figure.comparisons[0].measured < figure.comparisons[0].reference


async def test_the_search_figure_takes_the_stages_off_the_latency(measured: Mesh) -> None:
    figure = await search_figure(measured)
    check(figure, rows=2, with_target=2)
    longest, summed = figure.comparisons
    # The sum may exceed the latency on a busy machine: dense and lexical run at the same time.
    assert summed.result < longest.result
    assert 0 < longest.result < longest.measured


async def test_the_indexing_figure_searches_while_it_indexes_and_cleans_up(measured: Mesh) -> None:
    check(await indexing_figure(measured), rows=2, with_target=1)
    assert "bench-indexing" not in {found.name for found in await measured.client.list_collections()}


async def test_the_memory_figure_has_every_process(measured: Mesh) -> None:
    figure = await memory_figure(measured, minutes=0.05)
    check(figure, rows=len(measured.pids()), with_target=0)
    assert {row.what for row in figure.comparisons} == set(measured.pids())


async def test_a_home_without_a_running_mesh_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="searchmesh up"):
        async with running_mesh(MeshSettings(home=tmp_path)):
            pass


def test_the_demo_prepares_once_answers_and_leaves_nothing_running(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "demo")
    home.path.mkdir()
    home.repository.symlink_to(repository)
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path))
    documents = [Document(id, text, id) for id, text in TEXTS.items()]
    monkeypatch.setattr(demo, "corpus", lambda: documents)

    demo.demo(["how", "do", "I", "compress", "a", "file"])
    shown = capsys.readouterr().out
    assert "how do I compress a file" in shown
    assert shown.index("1. gzip") < shown.index("2. ")
    assert "rerank" in shown
    assert max(map(len, shown.splitlines())) <= 80 or str(tmp_path) in shown
    assert processes_of(home) == {}

    monkeypatch.setattr(demo.AsyncClient, "index", None)  # what is there is not indexed again
    demo.demo(["json"])
    assert "1. json" in capsys.readouterr().out
    assert processes_of(home) == {}
