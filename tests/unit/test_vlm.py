"""Conversations about images: what is refused, and what the model reads."""

from __future__ import annotations

from typing import Any

import pytest

from searchmesh.catalog import Card, load_card
from searchmesh.generation import Options
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.v1 import common_pb2, vlm_pb2
from searchmesh.vlm.chat import ChatTemplate, Message, Picture, Role
from searchmesh.vlm.requests import conversation, options_of
from searchmesh.vlm.settings import VlmSettings

SETTINGS = VlmSettings(vlm_max_images=2, vlm_max_messages=3, max_text_bytes=20)
IMAGE = common_pb2.Content(image=common_pb2.Image(data=b"x"))


def text(words: str) -> common_pb2.Content:
    return common_pb2.Content(text=words)


def user(*content: common_pb2.Content) -> vlm_pb2.ChatMessage:
    return vlm_pb2.ChatMessage(role=vlm_pb2.CHAT_ROLE_USER, content=content)


def card(template: str = "{{ messages }}", **generation: Any) -> Card:
    own = load_card("jina-vlm")
    assert own.generation is not None
    return own.model_copy(
        update={"generation": own.generation.model_copy(update={"jinja_template": template} | generation)}
    )


def understood(*messages: vlm_pb2.ChatMessage, **fields: Any) -> Any:
    return conversation(vlm_pb2.GenerateRequest(messages=messages, **fields), card(), ["<|image|>"], SETTINGS)


def test_texts_and_images_keep_their_order_and_images_their_field() -> None:
    found = understood(user(text("a"), IMAGE, text("b")))
    place = Picture("messages[0].content[1].image")
    assert found.messages == [Message(Role.USER, ["a", place, "b"])]
    assert list(found.images) == [place.field]


def test_a_preset_is_the_question_of_the_card() -> None:
    found = understood(user(IMAGE), preset="caption")
    assert found.messages[-1].parts[-1] == "Describe this image in detail."


SYSTEM = vlm_pb2.ChatMessage(role=vlm_pb2.CHAT_ROLE_SYSTEM, content=[text("s")])
ASSISTANT = vlm_pb2.ChatMessage(role=vlm_pb2.CHAT_ROLE_ASSISTANT, content=[text("a")])


@pytest.mark.parametrize(
    ("messages", "fields", "field", "problem"),
    [
        ([], {}, "messages", "are none"),
        ([user(text("a"))] * 4, {}, "messages", "are 4, the limit is 3"),
        ([user(IMAGE, IMAGE, IMAGE)], {}, "messages", "have 3 images, the limit is 2"),
        ([user(text("a")), SYSTEM, user(text("b"))], {}, "messages[1].role", "only the first"),
        ([user(text("a")), ASSISTANT], {}, "messages[1].role", "is not USER"),
        ([vlm_pb2.ChatMessage(role=9, content=[text("a")])], {}, "messages[0].role", "is 9"),  # type: ignore[arg-type]
        ([vlm_pb2.ChatMessage(role=vlm_pb2.CHAT_ROLE_SYSTEM, content=[IMAGE])], {}, "messages[0].content[0].image", ""),
        ([user(common_pb2.Content())], {}, "messages[0].content[0]", "neither text nor image"),
        ([user()], {}, "messages[0].content", "is empty"),
        ([user(text("a" * 21))], {}, "messages[0].content[0].text", "has 21 bytes, the limit is 20"),
        ([user(text("x <|image|>"))], {}, "messages[0].content[0].text", "spells out '<|image|>'"),
        ([user(IMAGE)], {"preset": "poem"}, "preset", "caption, alt_text, read_text"),
        ([user(text("a"), IMAGE)], {"preset": "caption"}, "messages[0].content", "images alone"),
        ([user(text("a"))], {"preset": "caption"}, "messages[0].content", "images alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_conversation_is_named(
    messages: list[vlm_pb2.ChatMessage], fields: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        understood(*messages, **fields)
    assert raised.value.field == field
    assert problem in raised.value.problem


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"decoding": {"temperature": -1}}, "decoding.temperature"),
        ({"decoding": {"temperature": float("nan")}}, "decoding.temperature"),
        ({"decoding": {"top_p": 1.5}}, "decoding.top_p"),
        ({"decoding": {"repetition_penalty": 11}}, "decoding.repetition_penalty"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"json_schema": " " * 70_000}, "json_schema"),
    ],
)
def test_what_is_wrong_with_the_decoding_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        options_of(vlm_pb2.GenerateRequest(**fields), SETTINGS)
    assert raised.value.field == field


def test_what_a_request_leaves_out_is_the_service_s_and_the_likeliest() -> None:
    assert options_of(vlm_pb2.GenerateRequest(), SETTINGS) == Options(SETTINGS.vlm_default_tokens, draft=False)
    own = vlm_pb2.GenerateRequest(max_tokens=7, stop=["x"], json_schema="{}", decoding={"seed": 0, "top_p": 0.5})  # type: ignore[arg-type]
    assert options_of(own, SETTINGS) == Options(7, seed=0, top_p=0.5, stop=("x",), json_schema="{}")


def test_a_template_gets_plain_texts_parts_and_the_checkpoint_s_variables() -> None:
    template = "{% for message in messages %}{{ message.role }}={{ message.content | tojson }};{% endfor %}"
    own = ChatTemplate(
        card(template + "{{ always_start_with_space }}{{ image_prompt_token }}", always_start_with_space=True)
    )
    found = own.render([Message(Role.SYSTEM, ["s"]), Message(Role.USER, ["ü", Picture("f")])])
    assert found == ('system="s";user=[{"type": "text", "text": "ü"}, {"type": "image"}];True<|image|>')


def test_a_template_may_refuse_and_cannot_reach_out_of_its_sandbox() -> None:
    refusing = ChatTemplate(card("{{ raise_exception('no system message') }}"))
    with pytest.raises(InvalidArgument, match="no system message"):
        refusing.render([Message(Role.USER, ["a"])])
    escaping = ChatTemplate(card("{{ messages.__class__.__mro__[1].__subclasses__() }}"))
    with pytest.raises(InvalidArgument, match="unsafe"):
        escaping.render([Message(Role.USER, ["a"])])
    with pytest.raises(FailedPrecondition, match="broken"):
        ChatTemplate(card("{% for %}"))
    with pytest.raises(FailedPrecondition, match="no chat template"):
        ChatTemplate(load_card("jina-vlm"))
