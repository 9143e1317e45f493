"""Images, read by the vision-language service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager

import grpc.aio

from searchmesh.client.asking import AnswerFinished, AskOptions, asked, events_of
from searchmesh.client.contents import Image
from searchmesh.client.retries import as_error
from searchmesh.reader.document import json_object
from searchmesh.reader.events import Event, Finished, Started
from searchmesh.reader.kinds import image_type
from searchmesh.reader.options import Engine, Format, ReadOptions
from searchmesh.reader.page import Ending, PageInfo, Source
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    SearchmeshError,
    Unauthenticated,
    Unavailable,
)
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.telemetry import inject
from searchmesh.v1 import models_pb2, models_pb2_grpc, vlm_pb2, vlm_pb2_grpc

PRESET = "read_text"
"""Preset of vision-language models that asks for the text of an image."""

_ENDINGS: Mapping[str, Ending] = {"stop": Ending.STOP, "length": Ending.LENGTH, "loop": Ending.LOOP}


class ImageReader:
    """Asks the vision-language service for the text of images, or for what an instruction or a schema want of them."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._default_tokens = settings.image_tokens
        self._channel: grpc.aio.Channel | None = None
        if settings.vlm_target:
            key = settings.api_key.get_secret_value()
            self._channel = connect(settings.vlm_target, tls=settings.tls, api_key=key, watch_health=True)

    async def read(self, source: Source, options: ReadOptions, call: Call) -> AsyncGenerator[Event, None]:
        """The events of a reading, as they come. Leaving early ends the generation.

        Raises FailedPrecondition without a vision-language service, what that raises, and Unavailable for one that
        does not answer.
        """
        if self._channel is None:
            raise FailedPrecondition(
                f"{source.field}: is an image, which a vision-language model has to look at; set SEARCHMESH_VLM_TARGET"
                " of the reader to the address of a vision-language service",
                reason="MODEL_NOT_LOADED",
            )
        with _told(source):
            model = options.model or await _default_model(self._channel, call)
        info = PageInfo(url=source.url, content_type=_type(source), bytes=len(source.body))
        reason = "as requested" if options.engine is Engine.MODEL else "only a model reads images"
        yield Started(Engine.MODEL, model, reason, info)
        is_object = options.format is Format.JSON and not options.needs_model
        if is_object:
            yield json_object.opening(info)
        responses = vlm_pb2_grpc.VlmStub(self._channel).Generate(
            self._request(source, model, options), timeout=call.deadline.remaining_s(), metadata=inject()
        )
        end: AnswerFinished | None = None
        try:
            with call.stages.measure("generate"), _told(source):
                async with aclosing(events_of(responses)) as events:
                    async for event in events:
                        if isinstance(event, AnswerFinished):
                            end = event
                        else:
                            yield json_object.content(event) if is_object else event
        finally:
            responses.cancel()
        if end is None:
            raise Internal("the vision-language service ended before it was done", reason="VLM_ANSWER")
        if is_object:
            yield json_object.closing(options)
        yield Finished(_ENDINGS[end.finish_reason], None, end.input_tokens, end.output_tokens)

    def _request(self, source: Source, model: str, options: ReadOptions) -> vlm_pb2.GenerateRequest:
        # Without a schema of the caller's, JSON for an instruction is any JSON.
        any_json = "{}" if options.format is Format.JSON and options.instruction else None
        asking = AskOptions(
            model=model,
            preset="" if options.instruction else PRESET,
            max_tokens=options.max_tokens or self._default_tokens,
            json_schema=options.json_schema or any_json,
        )
        return asking.request(asked(options.instruction, [Image(source.body)]))

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close(None)


async def _default_model(channel: grpc.aio.Channel, call: Call) -> str:
    response: models_pb2.ListModelsResponse = await models_pb2_grpc.ModelsStub(channel).List(
        models_pb2.ListModelsRequest(), timeout=call.deadline.remaining_s(), metadata=inject()
    )
    return next((model.name for model in response.models if model.is_default), "")


def _type(source: Source) -> str:
    return source.content_type if source.content_type.startswith("image/") else image_type(source.body)


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Errors of the vision-language service in the words of a request to this one."""
    try:
        yield
    except grpc.aio.AioRpcError as raised:
        raise _meant(as_error(raised), source) from raised


def _meant(error: SearchmeshError, source: Source) -> SearchmeshError:
    if isinstance(error, InvalidArgument):
        return InvalidArgument(_field(error.field, source), error.problem, reason=error.reason)
    if isinstance(error, Unauthenticated):
        return FailedPrecondition(
            "the vision-language service does not take the reader's key; set SEARCHMESH_API_KEY of the reader",
            reason="VLM_KEY",
        )
    # Without a reason of its own the error is gRPC's, and its text names hosts.
    if isinstance(error, Unavailable) and error.reason in (Unavailable.reason, "NOT_READY"):
        return Unavailable("the vision-language service cannot be reached or is not ready", reason="VLM_UNAVAILABLE")
    return error


def _field(field: str, source: Source) -> str:
    if field.endswith(".text"):
        return "instruction"
    return source.field if field == "request" or field.startswith("messages") else field
