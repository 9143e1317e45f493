"""Pages to text: the request, the events of its stream, and all of them put together."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from searchmesh.client import words
from searchmesh.client.timings import timings_of
from searchmesh.runtime.errors import Internal, InvalidArgument
from searchmesh.v1 import reader_pb2


@dataclass(frozen=True)
class PageInfo:
    """What a page says of itself; empty where it says nothing."""

    url: str
    """Where it was found, after redirects."""
    canonical_url: str
    title: str
    description: str
    language: str
    """BCP 47, as the page has it."""
    authors: tuple[str, ...]
    published_time: str
    """ISO 8601: a date, or a date and a time."""
    modified_time: str
    site_name: str
    image_url: str
    content_type: str
    charset: str
    bytes: int


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link of a text."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image of a text."""

    url: str
    alt: str


@dataclass(frozen=True)
class ReadStarted:
    """An engine begins. Text that came before is void: another engine takes over from one that failed."""

    engine: words.ReadEngine
    model: str
    """Of the engine `model`."""
    reason: str
    """Why this engine, in words."""
    page: PageInfo


@dataclass(frozen=True)
class ReadFinished:
    """The end of a reading."""

    finish_reason: words.FinishReason
    fidelity: float | None
    """Share of the text's word trigrams that the page has, 0 to 1; None for an image."""
    input_tokens: int
    output_tokens: int
    chunks: int
    """Parts that the page was read in."""
    links: tuple[PageLink, ...]
    images: tuple[PageImage, ...]
    timings: Mapping[str, float]
    """Seconds by stage of the service."""


ReadEvent: TypeAlias = ReadStarted | str | ReadFinished
"""What a reading consists of: its start, pieces of text, its end."""


@dataclass(frozen=True)
class Reading:
    """A page, read."""

    text: str
    started: ReadStarted
    finished: ReadFinished

    @property
    def page(self) -> PageInfo:
        """What the page says of itself."""
        return self.started.page

    def json(self) -> Any:
        """The text as the data it is, with the format `json`. Raises ValueError for other texts."""
        return json.loads(self.text)


async def events_of(responses: AsyncIterable[reader_pb2.ReadResponse]) -> AsyncGenerator[ReadEvent, None]:
    """From the wire."""
    async for response in responses:
        match response.WhichOneof("event"):
            case "started":
                yield _started(response.started)
            case "text":
                yield response.text
            case "finished":
                yield _finished(response.finished)


async def gathered(events: AsyncIterable[ReadEvent]) -> Reading:
    """The reading that the events make up."""
    return collected([event async for event in events])


def collected(events: Iterable[ReadEvent]) -> Reading:
    """As `gathered`, of events that are there."""
    started: ReadStarted | None = None
    finished: ReadFinished | None = None
    pieces: list[str] = []
    for event in events:
        match event:
            case ReadStarted():
                started = event
                pieces.clear()
            case ReadFinished():
                finished = event
            case _:
                pieces.append(event)
    if started is None or finished is None:
        raise Internal("the reader ended before it was done")
    return Reading("".join(pieces), started, finished)


def _started(message: reader_pb2.ReadStarted) -> ReadStarted:
    page = message.page
    info = PageInfo(
        url=page.url,
        canonical_url=page.canonical_url,
        title=page.title,
        description=page.description,
        language=page.language,
        authors=tuple(page.authors),
        published_time=page.published_time,
        modified_time=page.modified_time,
        site_name=page.site_name,
        image_url=page.image_url,
        content_type=page.content_type,
        charset=page.charset,
        bytes=page.bytes,
    )
    return ReadStarted(words.word_of(message.engine, words.READ_ENGINES), message.model, message.reason, info)


def _finished(message: reader_pb2.ReadFinished) -> ReadFinished:
    return ReadFinished(
        finish_reason=words.word_of(message.finish_reason, words.FINISH_REASONS),
        fidelity=message.fidelity if message.HasField("fidelity") else None,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        chunks=message.chunks,
        links=tuple(PageLink(link.url, link.text) for link in message.links),
        images=tuple(PageImage(image.url, image.alt) for image in message.images),
        timings=timings_of(message.timings),
    )


@dataclass(frozen=True)
class ReadOptions:
    """How pages are read."""

    engine: words.ReadEngine = "auto"
    model: str = ""
    format: words.ReadFormat = "markdown"
    instruction: str = ""
    json_schema: Mapping[str, Any] | str | None = None
    target_selectors: Sequence[str] = ()
    remove_selectors: Sequence[str] = ()
    whole_page: bool = False
    links: words.Retention = "all"
    images: words.Retention = "all"
    links_summary: bool = False
    images_summary: bool = False
    max_tokens: int = 0
    fetch_timeout_s: float | None = None

    def request(self, source: str | bytes, content_type: str, url: str) -> reader_pb2.ReadRequest:
        """For the wire: `source` is a URL, or a document. Raises InvalidArgument for a word that is not known."""
        if isinstance(source, str) and (content_type or url):
            raise InvalidArgument("source", "is a URL; content_type and url go with a document that is sent")
        if self.max_tokens < 0:
            raise InvalidArgument("max_tokens", f"must not be negative, got {self.max_tokens}")
        schema = self.json_schema
        text = "" if schema is None else schema if isinstance(schema, str) else json.dumps(schema)
        request = reader_pb2.ReadRequest(
            engine=words.value_of("engine", self.engine, words.READ_ENGINES),
            model=self.model,
            format=words.value_of("format", "json" if text else self.format, words.READ_FORMATS),
            instruction=self.instruction,
            json_schema=text,
            target_selectors=self.target_selectors,
            remove_selectors=self.remove_selectors,
            whole_page=self.whole_page,
            links=words.value_of("links", self.links, words.RETENTIONS),
            images=words.value_of("images", self.images, words.RETENTIONS),
            links_summary=self.links_summary,
            images_summary=self.images_summary,
            max_tokens=self.max_tokens,
            fetch_timeout_ms=round((self.fetch_timeout_s or 0) * 1000),
        )
        if isinstance(source, str):
            request.url = source
        else:
            request.page.CopyFrom(reader_pb2.Page(data=source, content_type=content_type, url=url))
        return request
