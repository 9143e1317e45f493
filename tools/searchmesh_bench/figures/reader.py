"""The reader's rules against the extraction library that they stand on, and how fast they are."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import mean, median, quantiles

import trafilatura

from searchmesh.client import AsyncClient, ReadOptions
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench.figures.figure import Comparison, Figure, at_least, at_most
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pages import Page, load_pages, token_f1

_FOLDER = "SEARCHMESH_DATA"
_DATASET = "html-aeb"
_ROUNDS = 5
_FIRST_BYTES = 40
_LARGE = 200_000
_RULES = ReadOptions(engine="rules")


async def reader(mesh: Mesh) -> Figure:
    """Token F1 of both sides, pages/s in alternating rounds, and how soon a text begins.

    Raises FailedPrecondition if SEARCHMESH_DATA names no folder with the pages.
    """
    folder = Path(os.environ.get(_FOLDER) or "")
    if not os.environ.get(_FOLDER) or not (folder / _DATASET).is_dir():
        raise FailedPrecondition(f"set {_FOLDER} to a folder that holds {_DATASET}")
    pages = load_pages(folder / _DATASET)
    texts = [(await _read(mesh.client, page, ReadOptions(engine="rules", format="text")))[0] for page in pages]
    ours = mean(token_f1(text, page.gold) for text, page in zip(texts, pages, strict=True))
    usual, precise = (
        mean(token_f1(_extracted(page, precise=precise), page.gold) for page in pages) for precise in (False, True)
    )
    rounds = await alternating(_ROUNDS, lambda: _ours(mesh.client, pages), lambda: _theirs(pages))
    single = _p95_ms([(await _read(mesh.client, page, _RULES))[2] for _ in range(2) for page in pages])
    alone = _p95_ms([_seconds_alone(page) for _ in range(2) for page in pages])
    large = _large(pages)
    begun = [((await _read(mesh.client, large, _RULES))[1], _seconds_alone(large)) for _ in range(_FIRST_BYTES)]
    first, whole = (1000 * median(seconds) for seconds in zip(*begun, strict=True))
    return Figure(
        name="reader",
        title=f"The reader's rules on {len(pages)} pages ÷ trafilatura {trafilatura.__version__} alone",
        measured="reader",
        reference="trafilatura",
        result="result",
        comparisons=[
            Comparison("token F1, difference", ours, usual, ours - usual, at_least(0.0)),
            Comparison("token F1, difference to favor_precision", ours, precise, ours - precise, at_least(0.0)),
            Comparison(
                "pages/s, ratio",
                median(mine for mine, _ in rounds),
                median(theirs for _, theirs in rounds),
                median(mine / theirs for mine, theirs in rounds),
            ),
            Comparison("one page at a time, p95 ms", single, alone, single),
            Comparison(f"first byte of {_LARGE // 1000} kB, p50 ms", first, whole, first, at_most(50.0)),
        ],
        conditions=[
            "F1: plain text of each side against a person's, without readers' comments; mean over pages.",
            f"pages/s: {_ROUNDS} alternating rounds; the mesh with {usable_cores()} parsers and as many calls at once"
            " and one more, Markdown with metadata over gRPC; trafilatura in one process, plain text without metadata.",
            f"First byte: {_FIRST_BYTES} calls, each followed by trafilatura on the same page, from the call to the"
            " first piece of text; the page is the largest of the set with paragraphs of the others in its middle.",
        ],
    )


async def _read(client: AsyncClient, page: Page, options: ReadOptions) -> tuple[str, float, float]:
    """The text, and the seconds to its first piece and to its end."""
    start = time.perf_counter()
    first = 0.0
    pieces = []
    async with aclosing(client.read_stream(page.html, options, content_type="text/html", url=page.url)) as events:
        async for event in events:
            if isinstance(event, str):
                first = first or time.perf_counter() - start
                pieces.append(event)
    return "".join(pieces), first, time.perf_counter() - start


def _extracted(page: Page, *, precise: bool = False) -> str:
    return trafilatura.extract(page.html, url=page.url, include_comments=False, favor_precision=precise) or ""


async def _ours(client: AsyncClient, pages: list[Page]) -> float:
    """Pages per second."""
    places = asyncio.Semaphore(usable_cores() + 1)

    async def read(page: Page) -> None:
        async with places:
            await _read(client, page, _RULES)

    start = time.perf_counter()
    await asyncio.gather(*map(read, pages))
    return len(pages) / (time.perf_counter() - start)


async def _theirs(pages: list[Page]) -> float:
    start = time.perf_counter()
    await asyncio.to_thread(lambda: list(map(_extracted, pages)))
    return len(pages) / (time.perf_counter() - start)


def _seconds_alone(page: Page) -> float:
    start = time.perf_counter()
    _extracted(page)
    return time.perf_counter() - start


def _p95_ms(seconds: Sequence[float]) -> float:
    return 1000 * quantiles(seconds, n=20)[-1]


def _large(pages: list[Page]) -> Page:
    """The largest page, with paragraphs of the others in the middle of its text."""
    page = max(pages, key=lambda page: len(page.html))
    html = page.html
    middle = html.find(b"</p>", len(html) // 2) + len(b"</p>")
    added = b""
    for other in pages:
        for line in filter(None, other.gold.splitlines()):
            if len(html) + len(added) >= _LARGE:
                break
            added += f"<p>{line.replace('<', '&lt;')}</p>\n".encode()
    return Page("large", page.url, html[:middle] + added + html[middle:], "")
