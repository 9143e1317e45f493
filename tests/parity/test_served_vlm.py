"""jina-vlm from a published checkpoint to the answer of the service, against transformers.

The checkpoint is exported by the command that a user runs and served by tritonserver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import jsonschema
import pytest

from searchmesh.catalog import load_card
from searchmesh.client import AnswerFinished, AskOptions, AsyncClient, Image, Message
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument, NotFound
from support.checkpoints_vlm import Published, write_vlm
from support.client import client_of
from support.exports import serving
from support.pictures import encoded, picture
from support.vlm import Turns, answer

MODEL = "jina-vlm"
MOST = 16
IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_vlm(tmp_path_factory.mktemp("published") / MODEL)


@pytest.fixture(scope="module")
def mesh(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    with serving(tmp_path_factory.mktemp("mesh"), {MODEL: published.folder}, "vlm", "reader") as settings:
        yield settings


@pytest.fixture
async def client(mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    async with client_of(mesh) as client:
        yield client


def files() -> list[bytes]:
    return [encoded(picture(*size, seed=number), "PNG") for number, size in enumerate(((300, 200), (90, 90)))]


OPTIONS = AskOptions(max_tokens=MOST)


async def test_answers_about_images(client: AsyncClient, published: Published) -> None:
    for data in files():
        found = await client.ask("what is in the image?", [Image(data)], OPTIONS)
        turns: Turns = [{"role": "user", "content": [IMAGE, text("what is in the image?")]}]
        expected, read, written = answer(published, turns, [data], MOST)
        assert found.text == expected
        assert (found.finished.input_tokens, found.finished.output_tokens) == (read, written)
        assert found.finished.finish_reason == ("length" if written == MOST else "stop")
        assert found.finished.image_tokens > 2 * 6 * 7


async def test_several_conversations_at_once(client: AsyncClient, published: Published) -> None:
    first, second = files()
    conversations: list[tuple[list[Message], Turns, list[bytes]]] = [
        ([Message("a cat and a dog")], [{"role": "user", "content": "a cat and a dog"}], []),
        (
            [Message([Image(first), "and", Image(second), "in the picture?"])],
            [{"role": "user", "content": [IMAGE, text("and"), IMAGE, text("in the picture?")]}],
            [first, second],
        ),
        (
            [
                Message("the picture", "system"),
                Message(["what", Image(second)]),
                Message("a cat", "assistant"),
                Message([Image(first), "is it?"]),
            ],
            [
                {"role": "system", "content": "the picture"},
                {"role": "user", "content": [text("what"), IMAGE]},
                {"role": "assistant", "content": "a cat"},
                {"role": "user", "content": [IMAGE, text("is it?")]},
            ],
            [second, first],
        ),
    ]
    found = await asyncio.gather(*(client.ask(messages, options=OPTIONS) for messages, _, _ in conversations))
    for own, (_, turns, data) in zip(found, conversations, strict=True):
        assert own.text == answer(published, turns, data, MOST)[0]


async def test_presets_ask_what_the_card_says(client: AsyncClient) -> None:
    (data, _) = files()
    preset = await client.ask("", [Image(data)], AskOptions(preset="caption", max_tokens=MOST))
    spelled = await client.ask("Describe this image in detail.", [Image(data)], OPTIONS)
    assert preset.text == spelled.text
    with pytest.raises(InvalidArgument, match="caption, alt_text, read_text"):
        await client.ask("", [Image(data)], AskOptions(preset="poem"))
    with pytest.raises(InvalidArgument, match="images alone"):
        await client.ask("what?", [Image(data)], AskOptions(preset="caption"))


async def test_who_leaves_early_disturbs_nobody(client: AsyncClient, published: Published) -> None:
    (data, _) = files()
    stream = client.ask_stream("a cat", [Image(data)], AskOptions(max_tokens=1000))
    async for event in stream:
        assert isinstance(event, str)
        break
    await stream.aclose()
    found = await client.ask("the dog", [Image(data)], OPTIONS)
    turns: Turns = [{"role": "user", "content": [IMAGE, text("the dog")]}]
    assert found.text == answer(published, turns, [data], MOST)[0]


async def test_pieces_make_up_the_text_and_a_stop_string_ends_it(client: AsyncClient) -> None:
    (data, _) = files()
    events = [event async for event in client.ask_stream("a dog", [Image(data)], OPTIONS)]
    assert isinstance(events[-1], AnswerFinished)
    pieces = [event for event in events if isinstance(event, str)]
    whole = "".join(pieces)
    assert whole == (await client.ask("a dog", [Image(data)], OPTIONS)).text
    stop = whole[len(whole) // 2 :][:3]
    cut = await client.ask("a dog", [Image(data)], AskOptions(max_tokens=MOST, stop=[stop]))
    assert cut.text == whole[: whole.index(stop)]
    assert (cut.finished.finish_reason, cut.finished.stop) == ("stop", stop)


async def test_json_that_satisfies_a_schema(client: AsyncClient) -> None:
    (data, _) = files()
    schema = {
        "type": "object",
        "properties": {"seen": {"enum": ["cat", "dog"]}, "sure": {"type": "boolean"}},
        "required": ["seen", "sure"],
        "additionalProperties": False,
    }
    found = await client.ask("what?", [Image(data)], AskOptions(max_tokens=200, json_schema=schema))
    assert found.finished.finish_reason == "stop"
    jsonschema.validate(json.loads(found.text), schema)


async def test_the_reader_has_images_read(client: AsyncClient, published: Published) -> None:
    (data, _) = files()
    card = load_card(MODEL).generation
    assert card is not None
    turns: Turns = [{"role": "user", "content": [IMAGE, text(card.presets["read_text"])]}]
    expected, read, written = answer(published, turns, [data], MOST)
    reading = await client.read(data, max_tokens=MOST)
    assert (reading.text, reading.started.engine, reading.started.model) == (expected, "model", MODEL)
    assert reading.finished.finish_reason == ("length" if written == MOST else "stop")
    assert (reading.finished.input_tokens, reading.finished.output_tokens) == (read, written)
    schema = {"type": "object", "properties": {"boat": {"type": "boolean"}}, "required": ["boat"]}
    schema["additionalProperties"] = False
    found = await client.read(data, json_schema=schema, instruction="is it a boat?", max_tokens=200)
    jsonschema.validate(found.json(), schema)
    with pytest.raises(InvalidArgument, match=r"^page\.data: "):
        await client.read(data[:200])


async def test_the_same_seed_gives_the_same_text(client: AsyncClient) -> None:
    (data, _) = files()
    options = [AskOptions(max_tokens=MOST, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    one, again, other = [(await client.ask("what?", [Image(data)], own)).text for own in options]
    assert one == again
    assert one != other


async def test_what_is_wrong_is_named(client: AsyncClient) -> None:
    data, other = files()
    for asked, field in (
        ([Message(["a", Image(data[:200])])], "messages[0].content[1].image"),
        ([Message("a", "assistant")], "messages[0].role"),
        ([Message("a"), Message("b", "system"), Message("c")], "messages[1].role"),
        ([Message([Image(other)], "system"), Message("a")], "messages[0].content[0].image"),
        ([Message("an <|image|> that is none")], "messages[0].content[0].text"),
        ([Message("a " * 3000)], "messages"),
        ([], "messages"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            await client.ask(asked, options=OPTIONS)
        assert raised.value.field == field
    with pytest.raises(InvalidArgument, match="json_schema"):
        await client.ask("a", options=AskOptions(json_schema="{"))
    with pytest.raises(NotFound):
        await client.ask("a", options=AskOptions(model="none"))


async def test_the_service_lists_its_model(client: AsyncClient) -> None:
    (model,) = await client.models("vlm")
    assert (model.name, model.ready, model.is_default, model.modalities) == (MODEL, True, True, ("text", "image"))
