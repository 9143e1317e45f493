"""Main content of real pages, against a person's choice and against the library that finds it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import mean

import pytest
import trafilatura

from searchmesh.client import AsyncClient
from searchmesh_bench.pages import Page, load_pages, token_f1
from support.reader import client_of_reader, running_reader

DATA = os.environ.get("SEARCHMESH_DATA")

pytestmark = pytest.mark.skipif(not DATA, reason="SEARCHMESH_DATA names no folder with html-aeb")


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return load_pages(Path(str(DATA)) / "html-aeb")


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    with running_reader(parsers=2) as target:
        async with client_of_reader(target) as client:
            yield client


async def test_the_text_is_at_least_as_good_as_that_of_the_library_alone(
    client: AsyncClient, pages: list[Page], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs, precise = [], [], []
    for page in pages:
        reading = await client.read(page.html, content_type="text/html", url=page.url, engine="rules", format="text")
        ours.append(token_f1(reading.text, page.gold))
        theirs.append(token_f1(trafilatura.extract(page.html, include_comments=False) or "", page.gold))
        careful = trafilatura.extract(page.html, include_comments=False, favor_precision=True) or ""
        precise.append(token_f1(careful, page.gold))
    with capsys.disabled():
        print(
            f"\ntoken F1: {mean(ours):.4f}; trafilatura {mean(theirs):.4f}, in favour of precision {mean(precise):.4f}"
        )
    assert mean(ours) >= mean(theirs)
    assert mean(ours) >= mean(precise)
    assert min(ours) > 0.7


async def test_metadata_is_found(client: AsyncClient, pages: list[Page]) -> None:
    found = [(await client.read(page.html, url=page.url, engine="rules")).page for page in pages]
    assert all(info.title for info in found)
    assert sum(bool(info.published_time) for info in found) >= 38
    assert sum(bool(info.authors) for info in found) >= 30
    assert sum(bool(info.language) for info in found) >= 45
