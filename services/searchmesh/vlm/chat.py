"""Conversations as the model was trained to read them: its checkpoint's own chat template, in Jinja."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from searchmesh.catalog import Card
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument


class Role(Enum):
    """Who says it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in a message."""

    field: str
    """Its path in the request."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: texts and images in order."""

    role: Role
    parts: Sequence[str | Picture]


class ChatTemplate:
    """Renders conversations as ``apply_chat_template`` of transformers does, in a sandbox: a checkpoint is data."""

    def __init__(self, card: Card) -> None:
        """Raises FailedPrecondition for a card without a template, or with one that is not Jinja."""
        if card.generation is None or card.generation.jinja_template is None or card.image is None:
            raise FailedPrecondition(f"the card of {card.name} has no chat template; export the model again")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(card.generation.jinja_template)
        except TemplateError as error:
            raise FailedPrecondition(f"the chat template of {card.name} is broken: {error}") from error
        self._variables = {
            "add_generation_prompt": True,
            "always_start_with_space": card.generation.always_start_with_space,
            "image_prompt_token": card.image.token,
        }

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, with the card's image token for each image. Raises InvalidArgument for what the template
        refuses."""
        conversation = [{"role": message.role.value, "content": _content(message)} for message in messages]
        try:
            return self._template.render(messages=conversation, **self._variables)
        except TemplateError as error:
            raise InvalidArgument("messages", f"are not what the model's chat template takes: {error}") from error


def _content(message: Message) -> str | list[Mapping[str, str]]:
    """Plain text where there is nothing else: some templates know no parts for the system's and the model's turns."""
    if len(message.parts) == 1 and isinstance(message.parts[0], str):
        return message.parts[0]
    return [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in message.parts]


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
