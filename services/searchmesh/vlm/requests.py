"""Requests as the service understands them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from searchmesh.catalog import Card
from searchmesh.generation import Options
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, vlm_pb2
from searchmesh.vlm.chat import Message, Picture, Role
from searchmesh.vlm.settings import VlmSettings

_ROLES = {
    vlm_pb2.CHAT_ROLE_UNSPECIFIED: Role.USER,
    vlm_pb2.CHAT_ROLE_SYSTEM: Role.SYSTEM,
    vlm_pb2.CHAT_ROLE_USER: Role.USER,
    vlm_pb2.CHAT_ROLE_ASSISTANT: Role.ASSISTANT,
}

_FIELDS = {"max_new_tokens": "max_tokens", "stop": "stop", "json_schema": "json_schema"}
"""Options that a request has outside of `decoding`."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, and shown."""

    messages: Sequence[Message]
    images: Mapping[str, common_pb2.Image]
    """By their field in the request, in order."""

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(part for message in self.messages for part in message.parts if isinstance(part, str))


def conversation(
    request: vlm_pb2.GenerateRequest, card: Card, special_words: Sequence[str], settings: VlmSettings
) -> Conversation:
    """The messages, with the question of the preset at the end. Raises InvalidArgument, naming the field."""
    if not request.messages:
        raise InvalidArgument("messages", "are none")
    if len(request.messages) > settings.vlm_max_messages:
        raise InvalidArgument("messages", f"are {len(request.messages)}, the limit is {settings.vlm_max_messages}")
    images: dict[str, common_pb2.Image] = {}
    messages = []
    for number, message in enumerate(request.messages):
        field = f"messages[{number}]"
        role = _ROLES.get(message.role)
        if role is None:
            raise InvalidArgument(f"{field}.role", f"is {message.role}, which there is not")
        if role is Role.SYSTEM and number > 0:
            raise InvalidArgument(f"{field}.role", "is SYSTEM; only the first message may be")
        parts = list(_parts(message, field, role, images, special_words, settings))
        messages.append(Message(role, parts))
    if len(images) > settings.vlm_max_images:
        raise InvalidArgument("messages", f"have {len(images)} images, the limit is {settings.vlm_max_images}")
    last = messages[-1]
    if last.role is not Role.USER:
        raise InvalidArgument(
            f"messages[{len(messages) - 1}].role", "is not USER, as that of the last message has to be"
        )
    if request.preset:
        messages[-1] = Message(Role.USER, [*_shown(last, len(messages) - 1), _question(request.preset, card)])
    elif not last.parts:
        raise InvalidArgument(f"messages[{len(messages) - 1}].content", "is empty")
    return Conversation(messages, images)


def _parts(
    message: vlm_pb2.ChatMessage,
    field: str,
    role: Role,
    images: dict[str, common_pb2.Image],
    special_words: Sequence[str],
    settings: VlmSettings,
) -> Iterator[str | Picture]:
    for number, content in enumerate(message.content):
        place = f"{field}.content[{number}]"
        match content.WhichOneof("content"):
            case "text":
                _check_text(f"{place}.text", content.text, special_words, settings)
                yield content.text
            case "image":
                if role is not Role.USER:
                    raise InvalidArgument(f"{place}.image", "is not in a message of the user")
                images[f"{place}.image"] = content.image
                yield Picture(f"{place}.image")
            case _:
                raise InvalidArgument(place, "has neither text nor image")


def _check_text(field: str, text: str, special_words: Sequence[str], settings: VlmSettings) -> None:
    if (size := len(text.encode())) > settings.max_text_bytes:
        raise InvalidArgument(field, f"has {size} bytes, the limit is {settings.max_text_bytes}")
    # Spelled out, they would pass for turns that nobody took, or images that nobody sent.
    if spelled := next((word for word in special_words if word in text), None):
        raise InvalidArgument(field, f"spells out {spelled!r}, a token that the model keeps to itself")


def _shown(last: Message, number: int) -> Sequence[Picture]:
    shown = [part for part in last.parts if isinstance(part, Picture)]
    if not shown or len(shown) < len(last.parts):
        raise InvalidArgument(f"messages[{number}].content", "has to be images alone, about which the preset asks")
    return shown


def _question(preset: str, card: Card) -> str:
    presets = card.generation.presets if card.generation else {}
    if preset not in presets:
        known = ", ".join(presets) or "none"
        raise InvalidArgument("preset", f"is {preset!r}; of {card.name} there are: {known}")
    return presets[preset]


def options_of(request: vlm_pb2.GenerateRequest, settings: VlmSettings) -> Options:
    """How to write. Raises InvalidArgument, naming the field."""
    own = request.decoding
    options = Options(
        max_new_tokens=request.max_tokens or settings.vlm_default_tokens,
        temperature=own.temperature,
        top_p=own.top_p or 1.0,
        top_k=own.top_k,
        repetition_penalty=own.repetition_penalty or 1.0,
        seed=own.seed if own.HasField("seed") else None,
        stop=tuple(request.stop),
        json_schema=request.json_schema,
        # Nothing of an answer about an image is in the prompt to be copied, but a schema foresees tokens.
        draft=bool(request.json_schema),
    )
    options.check(lambda name: _FIELDS.get(name, f"decoding.{name}"))
    return options
