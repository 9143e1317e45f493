"""The commands ``searchmesh bench`` and ``searchmesh eval``."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from searchmesh.cli.connection import targets
from searchmesh.cli.output import JsonOption, console, error_console, flowed, note, print_json
from searchmesh.client import AsyncClient, IndexProgress
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh_bench.capacity.command import capacity
from searchmesh_bench.corpora import collection_of
from searchmesh_bench.datasets import Dataset, load
from searchmesh_bench.evaluate import MODES, Quality
from searchmesh_bench.evaluate import evaluate as measure_quality
from searchmesh_bench.figures import FIGURES, Figure, Mesh, own_mesh, running_mesh
from searchmesh_bench.figures.memory import memory
from searchmesh_bench.machine import machine
from searchmesh_bench.report import figure_table, quality_table
from searchmesh_bench.simulate.command import simulate_pool

_TIMEOUT_S = 60.0
"""Of one search; reranking a hundred long passages on a busy machine takes seconds."""


class _FiguresFirst(TyperGroup):
    """A group whose first command needs no name: ``bench cache`` is ``bench figures cache``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Group`."""
        if not {*args[:1]} & {"--help", *self.commands}:
            args = ["figures", *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(
    cls=_FiguresFirst,
    help="Measure the mesh, what a pod of it does, and what scaling settings cost. Without a command: figures.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIGURE",
            help=f"Figures to measure, all if none is named: {', '.join(FIGURES)}.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Length of the load of `memory`.", min=0.1, max=60)] = 5.0,
    running: Annotated[
        bool, typer.Option("--running", help="Measure the mesh that runs now, instead of one started for this.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure the figures that the mesh must reach.

    Each prints both of its sides from one run, the result, and the target. Without --running a mesh is started on
    free ports with the exported models and empty caches, and stopped afterwards. All figures take about half
    an hour on two cores. `quality` and `reader` need SEARCHMESH_DATA, a folder with judged collections in `cranfield`
    and `scifact`, and pages in `html-aeb`.
    """
    names = list(dict.fromkeys(names or FIGURES))
    if unknown := [name for name in names if name not in FIGURES]:
        raise InvalidArgument("figures", f"has {', '.join(unknown)}; the figures are {', '.join(FIGURES)}")
    measures = {name: FIGURES[name] for name in names}
    if "memory" in measures:
        measures["memory"] = partial(memory, minutes=minutes)
    if not json:
        console().print(" · ".join(f"{name} {value}" for name, value in machine().items()), "", style="dim")
    measured = uvloop.run(_bench(measures, running=running, on_figure=(lambda _: None) if json else _show))
    if json:
        print_json({"machine": machine(), "figures": [figure.as_json() for figure in measured]})


async def _bench(
    measures: Mapping[str, Callable[[Mesh], Awaitable[Figure]]], *, running: bool, on_figure: Callable[[Figure], None]
) -> list[Figure]:
    settings = MeshSettings()
    found = []
    if not running:
        note("starting a mesh …")
    async with running_mesh(settings) if running else own_mesh(settings) as mesh:
        for name, measure in measures.items():
            note(f"measuring {name} …")
            found.append(await measure(mesh))
            on_figure(found[-1])
    return found


_COMMANDS: dict[str, Callable[..., None]] = {"figures": figures, "capacity": capacity, "simulate": simulate_pool}
for _name, _command in _COMMANDS.items():
    bench.command(_name, help=flowed(_command.__doc__))(_command)


def _show(figure: Figure) -> None:
    console().print(figure_table(figure), "")


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with corpus.jsonl, queries.jsonl and qrels.tsv.")
    ],
    limit_queries: Annotated[
        int | None, typer.Option(help="Ask only the first N queries.", metavar="N", min=1, show_default=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Index again, also if the documents are unchanged.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure how well and how fast a running mesh searches a judged collection.

    Indexes DIR into a collection of its own, which is used again while the documents are the same, and prints
    nDCG@10, Recall@100, MRR@10 and latency of dense, lexical, hybrid and hybrid search with reranking. Searches run
    one at a time, for 100 hits, with the query's vector in the cache. --fresh after a model was exported anew.

    corpus.jsonl has {"id", "title", "text"} a line, queries.jsonl {"id", "text"}; qrels.tsv a header and query id,
    document id and grade, separated by tabs.
    """
    dataset = load(folder)
    dataset = Dataset(dataset.name, dataset.documents, dataset.queries[:limit_queries])
    results = uvloop.run(_evaluate(dataset, fresh=fresh))
    if json:
        print_json(_as_json(dataset, results))
    else:
        console().print(quality_table(dataset.name, len(dataset.queries), results))


async def _evaluate(dataset: Dataset, *, fresh: bool) -> dict[str, Quality]:
    prefix = "eval-" + re.sub(r"[^A-Za-z0-9_-]", "-", dataset.name)[:40]
    out = error_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with AsyncClient(**targets(), timeout_s=_TIMEOUT_S) as client:
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
            task = progress.add_task("indexing", total=len(dataset.documents))

            def indexed(totals: IndexProgress) -> None:
                progress.update(task, completed=totals.acknowledged)

            collection = await collection_of(client, prefix, dataset.documents, indexed, fresh=fresh)
            progress.update(task, description="searching", completed=0, total=len(dataset.queries) * (len(MODES) + 1))
            return await measure_quality(client, collection, dataset, lambda: progress.advance(task))


def _as_json(dataset: Dataset, results: Mapping[str, Quality]) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "documents": len(dataset.documents),
        "queries": len(dataset.queries),
        "modes": {mode: asdict(quality) for mode, quality in results.items()},
    }
