"""Requests of the reader: checked before any work, and put into the words of the domain."""

from __future__ import annotations

from collections.abc import Mapping

from searchmesh.generation.options import MOST_GRAMMAR_BYTES
from searchmesh.reader.html.selectors import compiled
from searchmesh.reader.options import Engine, Format, ReadOptions, Retention
from searchmesh.reader.page import Source
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import reader_pb2

MAX_INSTRUCTION = 4_000
"""Characters."""

_ENGINES: Mapping[int, Engine] = {
    reader_pb2.READ_ENGINE_MODEL: Engine.MODEL,
    reader_pb2.READ_ENGINE_RULES: Engine.RULES,
}
_FORMATS: Mapping[int, Format] = {
    reader_pb2.READ_FORMAT_TEXT: Format.TEXT,
    reader_pb2.READ_FORMAT_JSON: Format.JSON,
}
_RETENTIONS: Mapping[int, Retention] = {
    reader_pb2.RETENTION_TEXT: Retention.TEXT,
    reader_pb2.RETENTION_NONE: Retention.NONE,
}


def options_of(request: reader_pb2.ReadRequest) -> ReadOptions:
    """What the caller wants. Raises InvalidArgument for options that do not go together, or are out of bounds."""
    if len(request.instruction) > MAX_INSTRUCTION:
        problem = f"has {len(request.instruction)} characters, the limit is {MAX_INSTRUCTION}"
        raise InvalidArgument("instruction", problem)
    if (size := len(request.json_schema.encode())) > MOST_GRAMMAR_BYTES:
        raise InvalidArgument("json_schema", f"has {size} bytes, the limit is {MOST_GRAMMAR_BYTES}")
    compiled("target_selectors", request.target_selectors)
    compiled("remove_selectors", request.remove_selectors)
    by_schema = request.json_schema and not request.format
    options = ReadOptions(
        engine=_ENGINES.get(request.engine, Engine.AUTO),
        model=request.model,
        format=Format.JSON if by_schema else _FORMATS.get(request.format, Format.MARKDOWN),
        instruction=request.instruction.strip(),
        json_schema=request.json_schema,
        target_selectors=tuple(request.target_selectors),
        remove_selectors=tuple(request.remove_selectors),
        whole_page=request.whole_page,
        links=_RETENTIONS.get(request.links, Retention.ALL),
        images=_RETENTIONS.get(request.images, Retention.ALL),
        links_summary=request.links_summary,
        images_summary=request.images_summary,
        max_tokens=request.max_tokens,
    )
    if options.json_schema and options.format is not Format.JSON:
        raise InvalidArgument("json_schema", "needs the format JSON")
    if options.needs_model and options.engine is Engine.RULES:
        raise InvalidArgument("engine", "RULES follows neither an instruction nor a schema; those need a model")
    return options


def page_of(page: reader_pb2.Page, settings: ReaderSettings) -> Source:
    """What the caller sent. Raises InvalidArgument for nothing, or for too much."""
    if not page.data:
        raise InvalidArgument("page.data", "is empty")
    if len(page.data) > settings.max_page_bytes:
        raise InvalidArgument("page.data", f"has {len(page.data)} bytes, the limit is {settings.max_page_bytes}")
    media, _, parameters = page.content_type.partition(";")
    charset = next((value for name, value in _parameters(parameters) if name == "charset"), "")
    return Source(page.data, media.strip().lower(), charset, page.url)


def _parameters(text: str) -> list[tuple[str, str]]:
    pairs = (parameter.partition("=") for parameter in text.split(";"))
    return [(name.strip().lower(), value.strip().strip('"')) for name, _, value in pairs]
