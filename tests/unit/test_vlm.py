"""Conversations about images: what is refused, what the model reads, and what of its tokens is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchmesh.catalog import Card, load_card
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.text import Spelling, Tokenizer
from searchmesh.v1 import common_pb2, vlm_pb2
from searchmesh.vlm.chat import ChatTemplate, Message, Picture, Role
from searchmesh.vlm.requests import conversation, decoding
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.writing import Ending, Stops, Written, write
from support.models import write_tokenizer

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
        ({"json_schema": "{"}, "json_schema"),
        ({"json_schema": "3"}, "json_schema"),
        ({"json_schema": " " * 70_000}, "json_schema"),
    ],
)
def test_what_is_wrong_with_the_decoding_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        decoding(vlm_pb2.GenerateRequest(**fields))
    assert raised.value.field == field


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


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_text_ends_before_the_first_stop_string_whatever_its_pieces(size: int) -> None:
    whole = "one two, three four. five"
    for strings, expected, found in (
        (["three"], "one two, ", "three"),
        (["four", "two"], "one ", "two"),
        (["two, three", "two"], "one ", "two, three" if size == 100 else "two"),
        (["six", "fives"], whole, ""),
    ):
        stops = Stops(strings)
        told = ""
        for start in range(0, len(whole), size):
            told += stops.feed(whole[start : start + size])
            assert whole.startswith(told)
            if stops.found:
                break
        else:
            told += stops.rest()
        assert (told, stops.found) == (expected, found)


def test_characters_are_told_when_they_are_whole() -> None:
    pieces = ["é".encode()[:1], "é".encode()[1:] + b"a", "🤔".encode()[:3], "🤔".encode()[3:], b"x", b"\xff"]
    spelling = Spelling(lambda ids: b"".join(pieces[number] for number in ids).decode(errors="replace"))
    assert [spelling.feed([number]) for number in range(6)] == ["", "éa", "", "🤔", "x", ""]
    assert spelling.rest() == "\N{REPLACEMENT CHARACTER}"


class Backend:
    """Streams what it was told."""

    def __init__(self, answers: list[dict[str, np.ndarray]]) -> None:
        self.answers = answers
        self.inputs: dict[str, np.ndarray] = {}
        self.closed = False

    async def stream(self, model: str, inputs: Any, outputs: Any, *, deadline: Deadline) -> AsyncIterator[Any]:
        self.inputs = inputs
        try:
            for answer in self.answers:
                yield answer
        finally:
            self.closed = True


async def test_tokens_become_text_and_their_end_the_end(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    ids = tokenizer.encode(["the quick brown fox"])[0]
    end = np.frombuffer(json.dumps({"finish": "length"}).encode(), np.uint8)
    answers = [{"token_ids": np.array([token])} for token in ids]
    answers[-1]["end"] = end
    backend = Backend(answers)
    asked = decoding(vlm_pb2.GenerateRequest(max_tokens=4, decoding={"seed": 3}))  # type: ignore[arg-type]
    found = [
        event
        async for event in write(
            backend,  # type: ignore[arg-type]
            "m",
            {"input_ids": np.array([1])},
            asked,
            tokenizer.spelling(),
            Deadline.after(5),
        )
    ]
    assert "".join(event for event in found if isinstance(event, str)) == "the quick brown fox"
    assert found[-1] == Written(Ending.LENGTH, "", len(ids))
    options = json.loads(backend.inputs["options"].tobytes())
    assert (options["max_new_tokens"], options["seed"], options["temperature"]) == (4, 3, 0)
    assert 0 < options["timeout_ms"] <= 5000
    assert backend.closed
    tokenizer.close()
