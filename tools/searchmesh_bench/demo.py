"""``python -m searchmesh_bench.demo``: the whole mesh on this machine, searching the documentation of its Python."""

from __future__ import annotations

import asyncio
import platform
import signal
import textwrap
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from searchmesh.catalog import ModelRepository
from searchmesh.cli.output import milliseconds
from searchmesh.cli.snippets import snippet, terms_of
from searchmesh.client import AsyncClient, Document, Hit
from searchmesh.local import NAMES, MeshSettings, MeshState, Phase, Ports, free_port_offset, running
from searchmesh.local.ports import is_free
from searchmesh.runtime.errors import SearchmeshError
from searchmesh_bench.corpora import collection_of
from searchmesh_bench.mesh import client_of, client_settings
from searchmesh_bench.pydocs import corpus
from searchmesh_bench.steps import step

_QUESTIONS = (
    "how do I compress a file",
    "wait until several tasks are finished",
    "remove a directory and everything in it",
    "the most common words of a text",
)
_STAGES = ("dense.text", "lexical", "fused", "rerank")
_HITS = 3
_WIDTH = 80

_console = Console(highlight=False)


def demo(
    question: Annotated[
        list[str] | None, typer.Argument(help="What to look for; without it, a few examples.", show_default=False)
    ] = None,
) -> None:
    """Search the documentation of your Python with a mesh of your own.

    Exports the default model, starts the mesh, indexes every public docstring of the standard library, searches, and
    stops the mesh. What it prepared is kept for the next run, in the folder `demo` of SEARCHMESH_HOME.
    """
    usual = MeshSettings()
    settings = usual.model_copy(update={"home": usual.home / "demo", "port_offset": _port_offset(usual.ports)})
    try:
        _export(settings)
        asyncio.run(_demo(settings, [" ".join(question)] if question else _QUESTIONS))
    except SearchmeshError as error:
        Console(stderr=True, highlight=False).print(error.message, style="red", markup=False)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None


def _export(settings: MeshSettings) -> None:
    """Export the default model if that was not done before."""
    repository = settings.folder.repository
    if settings.default_model not in ModelRepository(repository).names():
        from searchmesh_export.cli import export  # with all of torch behind it

        export(settings.default_model, repository=repository)


def _port_offset(ports: Ports) -> int:
    """That of `ports` if they are free, else one that another mesh does not use."""
    return ports.offset if all(map(is_free, ports.all())) else free_port_offset()


async def _demo(settings: MeshSettings, questions: Sequence[str]) -> None:
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    reading = asyncio.create_task(asyncio.to_thread(corpus))
    async with _mesh(settings) as client:
        collection = await _indexed(client, await reading)
        for question in questions:
            await _ask(client, collection, question)
    _console.print("The mesh has stopped. To go on with the same index:", markup=False)
    _console.print(f"  export SEARCHMESH_HOME={settings.home}\n  searchmesh up --detach", markup=False, soft_wrap=True)
    _console.print(f"  searchmesh search --collection {collection} 'parse a date'", markup=False, soft_wrap=True)


@asynccontextmanager
async def _mesh(settings: MeshSettings) -> AsyncIterator[AsyncClient]:
    """A client of a mesh that runs for the length of the block."""
    async with AsyncExitStack() as stack:
        with step(_console, "starting the mesh", f"{', '.join(NAMES)} ready", len(NAMES)) as show:

            def on_change(state: MeshState) -> None:
                show(sum(child.phase is Phase.READY for child in state.children))

            await stack.enter_async_context(running(settings, on_change=on_change))
        yield await stack.enter_async_context(client_of(client_settings(settings.ports)))


async def _indexed(client: AsyncClient, documents: Sequence[Document]) -> str:
    """The name of a collection with the documents, which is there already after an earlier run."""
    what = f"documentation of Python {platform.python_version()} in the index: {len(documents):,} passages"
    with step(_console, "indexing the documentation", what, len(documents)) as show:
        return await collection_of(
            client,
            "python-docs",
            documents,
            lambda progress: show(progress.acknowledged),
            filter_fields={"module": "tag", "kind": "tag"},
        )


async def _ask(client: AsyncClient, collection: str, question: str) -> None:
    start = time.perf_counter()
    result = await client.search(collection, question, top_k=_HITS, rerank=True)
    seconds = time.perf_counter() - start
    _console.print(f"\n[bold]{escape(question)}[/]")
    for rank, hit in enumerate(result.hits, 1):
        _show(rank, hit, question)
    stages = ", ".join(f"{stage} {milliseconds(spent)}" for stage, spent in result.timings.items())
    _console.print(f"  {milliseconds(seconds)} ms ({stages})", style="dim", markup=False)
    for stage in result.degraded:
        _console.print(f"  degraded: {stage.stage}: {stage.message}", style="yellow", markup=False)


def _show(rank: int, hit: Hit, question: str) -> None:
    indent = " " * 5
    width = _WIDTH - len(indent)
    _console.print(f"  {rank}. [cyan]{escape(textwrap.shorten(hit.document.title, width, placeholder=' …'))}[/]")
    for line in textwrap.wrap(snippet(hit.document.text, terms_of(question), 2 * width - 10), width):
        _console.print(indent + line, markup=False)
    scores = " · ".join(f"{stage} {hit.stage_scores[stage]:.3f}" for stage in _STAGES if stage in hit.stage_scores)
    _console.print(f"{indent}{hit.score:.3f} ({scores})", style="dim", markup=False)


if __name__ == "__main__":
    typer.run(demo)
