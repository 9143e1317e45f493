"""The reader over real gRPC: pages by rules, what is refused, and pages that mean harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest

from searchmesh.client import AsyncClient, ReadFinished, ReadOptions, ReadStarted
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from searchmesh.v1.reader_pb2 import READ_ENGINE_RULES, READ_FORMAT_TEXT, Page
from searchmesh.v1.reader_pb2 import ReadRequest as Request
from searchmesh.v1.reader_pb2_grpc import ReaderStub
from support.pages import URL, article
from support.pdf import pdf_of
from support.reader import client_of_reader, running_reader
from support.site import Site, serving

PAGE = article('<h2>The quay</h2><p>It was built of <a href="/granite">granite</a> long before anybody was born.</p>')


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def target(site: Site) -> Iterator[str]:
    allowed = f"127.0.0.1:{site.port}"
    with running_reader(
        fetch_enabled=True, fetch_allow=allowed, max_page_bytes=11_000_000, parser_limit_s=20.0
    ) as target:
        yield target


@pytest.fixture
async def client(target: str) -> AsyncIterator[AsyncClient]:
    async with client_of_reader(target) as client:
        yield client


async def test_a_page_comes_as_its_start_pieces_of_text_and_its_end(client: AsyncClient) -> None:
    events = [event async for event in client.read_stream(PAGE.encode(), url=URL)]
    started, *pieces, finished = events
    assert isinstance(started, ReadStarted)
    assert isinstance(finished, ReadFinished)
    assert (started.engine, started.model, started.page.title) == ("rules", "", "A day at the harbour")
    assert (started.page.language, started.page.url, started.page.content_type) == ("en", URL, "text/html")
    text = "".join(map(str, pieces))
    assert "## The quay\n\nIt was built of [granite](https://site.example/granite)" in text
    assert (finished.finish_reason, finished.fidelity, finished.chunks) == ("stop", 1.0, 1)
    assert finished.input_tokens == -(-len(PAGE.encode()) // 4)
    assert finished.output_tokens == -(-len(text.encode()) // 4)
    assert finished.timings["read"] > 0


async def test_all_options_arrive(client: AsyncClient) -> None:
    reading = await client.read(
        PAGE.encode(),
        url=URL,
        format="json",
        target_selectors=["article"],
        remove_selectors=["h1"],
        links="text",
        links_summary=True,
        images_summary=True,
    )
    value = reading.json()
    assert value["content"].startswith("The first boat")
    assert "granite long" in value["content"]
    assert value["links"] == [{"url": "https://site.example/granite", "text": "granite"}]
    assert value["images"] == []
    assert [link.url for link in reading.finished.links] == ["https://site.example/granite"]
    whole = await client.read(PAGE.encode(), url=URL, format="text", whole_page=True, max_tokens=30)
    assert whole.text.startswith("The Gazette\n\n- News")
    assert (whole.finished.finish_reason, len(whole.text) <= 120) == ("length", True)


async def test_a_url_is_fetched_and_its_links_are_absolute(client: AsyncClient, site: Site) -> None:
    page = PAGE.replace("granite</a>", "gränite</a>").encode("latin-1")
    site.pages["/guide/start"] = ("text/html; charset=iso-8859-1", page)
    site.redirects["/old"] = "/guide/start"
    reading = await client.read(f"{site.url}/old")
    assert reading.page.url == f"{site.url}/guide/start"
    assert f"[gränite]({site.url}/granite)" in reading.text
    assert reading.page.charset == "cp1252"
    assert reading.finished.timings["fetch"] > 0


async def test_a_pdf_document_is_fetched(client: AsyncClient, site: Site) -> None:
    site.pages["/paper.pdf"] = ("application/pdf", pdf_of([["Hello there."]], title="A paper"))
    reading = await client.read(f"{site.url}/paper.pdf")
    assert (reading.text, reading.page.title) == ("Hello there.", "A paper")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/", "URL_FORBIDDEN"),
        ("http://169.254.169.254/latest/meta-data", "URL_FORBIDDEN"),
        ("file:///etc/passwd", "URL_FORBIDDEN"),
        ("{site}/gone", "URL_UNREACHABLE"),
        ("{site}/film", "URL_CONTENT_REFUSED"),
        ("{site}/to-metadata", "URL_FORBIDDEN"),
    ],
)
async def test_what_must_not_or_cannot_be_fetched(client: AsyncClient, site: Site, url: str, reason: str) -> None:
    site.pages["/film"] = ("video/mp4", b"x")
    site.redirects["/to-metadata"] = "http://169.254.169.254/"
    with pytest.raises(InvalidArgument) as raised:
        await client.read(url.format(site=site.url))
    assert raised.value.field == "url"
    assert raised.value.reason == reason


async def test_a_page_that_does_not_come_is_not_waited_for(client: AsyncClient, site: Site) -> None:
    site.slow.add("/slow")
    with pytest.raises(InvalidArgument, match=r"url: was not fetched within 0\.2 s"):
        await client.read(f"{site.url}/slow", fetch_timeout_s=0.2)


def _asked(**fields: Any) -> Request:
    return Request(page=Page(data=b"x"), **fields)


@pytest.mark.parametrize(
    ("request_", "field", "problem"),
    [
        (Request(), "source", "neither url nor page"),
        (Request(page=Page()), "page.data", "is empty"),
        (Request(page=Page(data=b"x" * 11_000_001)), "page.data", "the limit is 11000000"),
        (_asked(target_selectors=["p >"]), "target_selectors[0]", "CSS"),
        (_asked(remove_selectors=["p", "::"]), "remove_selectors[1]", "CSS"),
        (_asked(remove_selectors=["p"] * 21), "remove_selectors", "limit is 20"),
        (_asked(instruction="x" * 4001), "instruction", "limit is 4000"),
        (_asked(json_schema="x" * 70_000), "json_schema", "limit is"),
        (_asked(json_schema="{}", format=READ_FORMAT_TEXT),
         "json_schema", "needs the format JSON"),
        (_asked(instruction="x", engine=READ_ENGINE_RULES),
         "engine", "RULES follows neither"),
        (Request(page=Page(data=b"x", content_type="video/mp4")), "page.data", "video/mp4"),
    ],
)  # fmt: skip
async def test_requests_that_are_wrong_say_where(
    client: AsyncClient, request_: Request, field: str, problem: str, target: str
) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        call = ReaderStub(channel).Read(request_)
        with pytest.raises(grpc.aio.AioRpcError, match=problem) as raised:
            await call.read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (raised.value.details() or "").startswith(f"{field}: ")


async def test_a_model_is_not_announced_where_none_is_loaded(client: AsyncClient) -> None:
    assert await client.models("reader") == ()
    for options in (
        ReadOptions(engine="model"),
        ReadOptions(instruction="List boats."),
        ReadOptions(json_schema={}),
    ):
        with pytest.raises(FailedPrecondition, match=r"run: searchmesh models export ReaderLM-v2"):
            await anext(client.read_stream(PAGE.encode(), options))
    with pytest.raises(InvalidArgument, match=r"model: all-MiniLM-L6-v2 is of kind embedding and reads no HTML"):
        await client.read(PAGE.encode(), engine="model", model="all-MiniLM-L6-v2")
    with pytest.raises(NotFound):
        await client.read(PAGE.encode(), model="no-such-model")
    reading = await client.read(PAGE.encode())
    assert "ReaderLM-v2 is not exported" in reading.started.reason


@pytest.mark.parametrize(
    "schema",
    ['{"type": "no-such-type"}', "[]", "not JSON", '{"$ref": 3}', '{"properties": {"a": 1}}'],
)
async def test_a_schema_that_is_none_is_refused_before_anything_else(client: AsyncClient, schema: str) -> None:
    with pytest.raises(InvalidArgument, match="json_schema: is n"):
        await client.read(PAGE.encode(), json_schema=schema)


def _many(piece: str, size: int) -> bytes:
    return (piece * (size // len(piece))).encode()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (_many("<div>", 10_000_000) + b"in the deep", "in the deep"),
        (_many("<b><i>", 5_000_000) + b"in the deep", "in the deep"),
        (_many("<ul><li>a", 1_000_000), "- a"),
        (_many("<table><tr><td>", 1_000_000) + b"in the deep", "in the deep"),
        (_many("<blockquote>a", 500_000), "> a"),
        (_many("<svg><g>", 1_000_000) + b"</svg><p>after", None),
        (_many("<", 1_000_000), "<"),
        (_many("<a ", 1_000_000) + b"><p>after", None),
        (_many("&", 1_000_000), "&"),
        (_many("<!--", 1_000_000) + b"--><p>after", "after"),
        (_many("<script>", 1_000_000) + b"</script><p>after", "after"),
        (b"<p " + _many("a='1' ", 1_000_000) + b">after", "after"),
        (b'<img srcset="' + _many("a ", 1_000_000) + b'"><p>after', "after"),
        (b"<p>" + _many("\\(", 1_000_000), "\\("),
        (b"<p>" + _many("[](", 1_000_000), "\\[\\]("),
        (b"<p>" + _many("*a", 1_000_000), "\\*a"),
        (_many("<sup><a href='#fn1'>1</a></sup>", 500_000) + b"<p id='fn1'>a note", "[^1]"),
        (_many("<td rowspan='9999' colspan='9999'>a", 500_000), "a"),
        (b"<math>" + _many("<mrow>", 500_000) + b"<mi>x</mi></math><p>after", None),
        (b"<script type='application/ld+json'>" + _many("[", 400_000) + b"</script><p>after", "after"),
        (b"\x00" * 1000 + b"<p>after", "after"),
        (bytes(range(256)) * 4000, "A"),
        (b"<p>" + b"\xff\xfe\x00" * 300_000, None),
        (_many("<p>A line of a page that is longer than any other page on the site.</p>", 10_000_000), "A line"),
        (_many("<tr><td>cell<td>another", 4_000_000), "cell"),
        (b"<p>" + _many("word ", 10_000_000), "word"),
    ],
)  # fmt: skip
async def test_pages_that_mean_harm_end_in_a_text_or_a_clear_error(
    client: AsyncClient, page: bytes, expected: str | None
) -> None:
    text, reason = "", ""
    try:
        text = (await client.read(page, content_type="text/html", timeout_s=120)).text
    except (InvalidArgument, FailedPrecondition) as error:
        reason = error.reason
    assert expected is None or expected in text
    assert text or reason in ("NO_TEXT", "TOO_COMPLEX")
    assert (await client.read(b"<p>still here")).text == "still here"


async def test_a_caller_that_leaves_ends_the_reading_and_nobody_else_notices(client: AsyncClient) -> None:
    page = _many("<p>A line of a page that is <b>longer</b> than any other.</p>", 8_000_000)
    reading = asyncio.ensure_future(client.read(page, content_type="text/html"))
    await asyncio.sleep(0.5)
    reading.cancel()
    async with asyncio.timeout(10):
        assert (await client.read(b"<p>still here")).text == "still here"


async def test_json_of_any_page_is_json(client: AsyncClient) -> None:
    page = '<title>A "quoted" \\ title</title><p>\u2028 "x" \\n &#x1F41F; </p>'
    assert json.loads((await client.read(page.encode(), format="json")).text)["content"].strip().endswith("🐟")
