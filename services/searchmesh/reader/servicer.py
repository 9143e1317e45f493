"""searchmesh.v1.Reader: protobuf to domain and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing

from searchmesh.reader.events import Event, Finished, Started
from searchmesh.reader.options import Engine
from searchmesh.reader.page import Ending, PageInfo
from searchmesh.reader.reading import PageReader
from searchmesh.reader.requests import options_of, page_of
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.telemetry import meter
from searchmesh.v1 import common_pb2, reader_pb2

_ENGINES: Mapping[Engine, reader_pb2.ReadEngine.ValueType] = {
    Engine.MODEL: reader_pb2.READ_ENGINE_MODEL,
    Engine.RULES: reader_pb2.READ_ENGINE_RULES,
}
_ENDINGS: Mapping[Ending, common_pb2.FinishReason.ValueType] = {
    Ending.STOP: common_pb2.FINISH_REASON_STOP,
    Ending.LENGTH: common_pb2.FINISH_REASON_LENGTH,
    Ending.OVERRUN: common_pb2.FINISH_REASON_LENGTH,
    Ending.LOOP: common_pb2.FINISH_REASON_LOOP,
}

_PIECE = 64 * 1024
"""Characters of one message at most: a page may be a single block."""


class ReaderServicer:
    """Answers searchmesh.v1.Reader."""

    def __init__(self, reader: PageReader, settings: ReaderSettings) -> None:
        self._reader = reader
        self._settings = settings
        self._pages = meter().create_counter(
            "reader_pages", description="Documents read to the end, by engine and how the text ended."
        )

    async def Read(self, request: reader_pb2.ReadRequest, call: Call) -> AsyncGenerator[reader_pb2.ReadResponse, None]:
        """The events of one reading."""
        options = options_of(request)
        match request.WhichOneof("source"):
            case "url":
                timeout_s = request.fetch_timeout_ms / 1000 if request.fetch_timeout_ms else None
                source = await self._reader.fetch(request.url, timeout_s, call)
            case "page":
                source = page_of(request.page, self._settings)
            case _:
                raise InvalidArgument("source", "has neither url nor page")
        engine = Engine.RULES
        async with aclosing(self._reader.read(source, options, call)) as events:
            async for event in events:
                if isinstance(event, Started):
                    engine = event.engine
                elif isinstance(event, Finished):
                    self._pages.add(1, {"engine": engine.value, "ending": event.ending.value})
                for response in _responses(event, call):
                    yield response


def _responses(event: Event, call: Call) -> Iterator[reader_pb2.ReadResponse]:
    match event:
        case Started():
            yield reader_pb2.ReadResponse(
                started=reader_pb2.ReadStarted(
                    engine=_ENGINES[event.engine], model=event.model, reason=event.reason, page=_page_info(event.info)
                )
            )
        case Finished():
            yield reader_pb2.ReadResponse(finished=_finished(event, call))
        case _:
            for start in range(0, len(event), _PIECE):
                yield reader_pb2.ReadResponse(text=event[start : start + _PIECE])


def _page_info(info: PageInfo) -> reader_pb2.PageInfo:
    return reader_pb2.PageInfo(
        url=info.url,
        canonical_url=info.canonical_url,
        title=info.title,
        description=info.description,
        language=info.language,
        authors=info.authors,
        published_time=info.published_time,
        modified_time=info.modified_time,
        site_name=info.site_name,
        image_url=info.image_url,
        content_type=info.content_type,
        charset=info.charset,
        bytes=info.bytes,
    )


def _finished(event: Finished, call: Call) -> reader_pb2.ReadFinished:
    return reader_pb2.ReadFinished(
        finish_reason=_ENDINGS[event.ending],
        fidelity=event.fidelity,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        chunks=event.parts,
        links=[reader_pb2.PageLink(url=link.url, text=link.text) for link in event.links],
        images=[reader_pb2.PageImage(url=image.url, alt=image.text) for image in event.images],
        timings=call.stages.to_proto(),
    )
