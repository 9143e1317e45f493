"""Questions about images, and their answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from searchmesh.client.contents import Content, Image, content_of
from searchmesh.client.timings import timings_of
from searchmesh.client.words import FINISH_REASONS, FinishReason, value_of, word_of
from searchmesh.runtime.errors import Internal
from searchmesh.v1 import vlm_pb2

Role = Literal["system", "user", "assistant"]

_ROLES: Mapping[Role, vlm_pb2.ChatRole.ValueType] = {
    "system": vlm_pb2.CHAT_ROLE_SYSTEM,
    "user": vlm_pb2.CHAT_ROLE_USER,
    "assistant": vlm_pb2.CHAT_ROLE_ASSISTANT,
}


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    content: Content | Sequence[Content]
    """Texts and images in order."""
    role: Role = "user"

    def to_proto(self) -> vlm_pb2.ChatMessage:
        """For the wire. Raises InvalidArgument for a role that there is not, or an image without or with two
        sources."""
        parts = [self.content] if isinstance(self.content, str | Image) else self.content
        return vlm_pb2.ChatMessage(
            role=value_of("role", self.role, _ROLES), content=[content_of(part) for part in parts]
        )


@dataclass(frozen=True)
class AskOptions:
    """How an answer is written. The defaults are the service's."""

    model: str = ""
    preset: str = ""
    """Ask what the model's preset of this name asks, such as "caption", "alt_text" or "read_text"."""
    max_tokens: int = 0
    stop: Sequence[str] = ()
    json_schema: Mapping[str, Any] | str | None = None
    """The answer is JSON that satisfies it."""
    temperature: float = 0.0
    """0: the likeliest token each time."""
    top_p: float = 0.0
    top_k: int = 0
    repetition_penalty: float = 0.0
    seed: int | None = None

    def request(self, messages: Sequence[Message]) -> vlm_pb2.GenerateRequest:
        """For the wire. Raises InvalidArgument as `Message.to_proto` does."""
        schema = self.json_schema
        return vlm_pb2.GenerateRequest(
            model=self.model,
            messages=[message.to_proto() for message in messages],
            preset=self.preset,
            decoding=vlm_pb2.DecodingOptions(
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                repetition_penalty=self.repetition_penalty,
                seed=self.seed,
            ),
            max_tokens=self.max_tokens,
            stop=self.stop,
            json_schema="" if schema is None else schema if isinstance(schema, str) else json.dumps(schema),
        )


@dataclass(frozen=True)
class AnswerFinished:
    """The end of an answer."""

    finish_reason: FinishReason
    stop: str
    """The string that ended it, if one did."""
    input_tokens: int
    image_tokens: int
    """Of the input tokens, those that stand for images."""
    output_tokens: int
    timings: Mapping[str, float]
    """Seconds by stage."""


AskEvent: TypeAlias = str | AnswerFinished
"""The next piece of the answer, or its end."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    text: str
    finished: AnswerFinished

    def json(self) -> Any:
        """The text as the data it is, where there was a schema. Raises ValueError for other texts."""
        return json.loads(self.text)


async def events_of(responses: AsyncIterable[vlm_pb2.GenerateResponse]) -> AsyncGenerator[AskEvent, None]:
    """From the wire."""
    async for response in responses:
        match response.WhichOneof("event"):
            case "text":
                yield response.text
            case "finished":
                yield _finished(response.finished)


async def gathered(events: AsyncIterable[AskEvent]) -> Answer:
    """The answer that the events make up."""
    return collected([event async for event in events])


def collected(events: Iterable[AskEvent]) -> Answer:
    """As `gathered`, of events that are there."""
    pieces: list[str] = []
    for event in events:
        if isinstance(event, AnswerFinished):
            return Answer("".join(pieces), event)
        pieces.append(event)
    raise Internal("the answer ended before it was done")


def asked(question: str | Sequence[Message], images: Sequence[Image]) -> Sequence[Message]:
    """The conversation: as it is, or a question about images, which come first."""
    if not isinstance(question, str):
        return question
    return [Message([*images, *([question] if question else [])])]


def _finished(message: vlm_pb2.GenerateFinished) -> AnswerFinished:
    return AnswerFinished(
        word_of(message.finish_reason, FINISH_REASONS),
        message.stop,
        message.input_tokens,
        message.image_tokens,
        message.output_tokens,
        timings_of(message.timings),
    )
