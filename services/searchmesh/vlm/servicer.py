"""searchmesh.v1.Vlm: protobuf to domain and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from searchmesh.generation import Finish
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import common_pb2, vlm_pb2
from searchmesh.vlm.requests import conversation, options_of
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.talk import Finished
from searchmesh.vlm.talkers import Talkers

_FINISHES: Mapping[Finish, common_pb2.FinishReason.ValueType] = {
    Finish.STOP: common_pb2.FINISH_REASON_STOP,
    Finish.LENGTH: common_pb2.FINISH_REASON_LENGTH,
    Finish.LOOP: common_pb2.FINISH_REASON_LOOP,
}


class VlmServicer:
    """Answers searchmesh.v1.Vlm."""

    def __init__(self, talkers: Talkers, settings: VlmSettings) -> None:
        self._talkers = talkers
        self._settings = settings

    async def Generate(
        self, request: vlm_pb2.GenerateRequest, call: Call
    ) -> AsyncGenerator[vlm_pb2.GenerateResponse, None]:
        """The answer in pieces, and how it ended."""
        talker = self._talkers.get(request.model)
        asked = conversation(request, talker.card, talker.special_words, self._settings)
        options = options_of(request, self._settings)
        async with aclosing(talker.answer(asked, options, call, least=request.max_tokens or 1)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    yield vlm_pb2.GenerateResponse(finished=_finished(event, call))
                else:
                    yield vlm_pb2.GenerateResponse(text=event)


def _finished(event: Finished, call: Call) -> vlm_pb2.GenerateFinished:
    return vlm_pb2.GenerateFinished(
        finish_reason=_FINISHES[event.written.finish],
        stop=event.written.stop,
        input_tokens=event.written.input_tokens,
        image_tokens=event.image_tokens,
        output_tokens=event.written.output_tokens,
        timings=call.stages.to_proto(),
    )
