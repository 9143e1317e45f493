"""The reader with a model behind it: who reads, how long pages are cut, and what happens when the model fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from searchmesh.client import AsyncClient, ReadFinished, ReadOptions, ReadStarted
from searchmesh.generation import Options
from searchmesh.runtime.errors import BackendUnavailable, FailedPrecondition, InvalidArgument, Unavailable
from support.generator import MODEL, FakeGenerator, FakeGenerators, echo
from support.mesh import eventually
from support.pages import article
from support.pdf import pdf_of
from support.reader import client_of_reader, running_reader

PAGE = article("<p>One more line about the tide, which was low.</p>").encode()
INVENTED = "Once upon a time there lived a dragon who had never seen any of this before in his life."

_GENERATORS = FakeGenerators(None)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with running_reader(_GENERATORS, model_chunks=4) as target:
        yield target


@pytest.fixture
def model() -> FakeGenerator:
    _GENERATORS.generator = FakeGenerator()
    return _GENERATORS.generator


@pytest.fixture
async def client(target: str, model: FakeGenerator) -> AsyncIterator[AsyncClient]:
    async with client_of_reader(target) as client:
        yield client


async def test_auto_takes_the_model_if_it_is_loaded_and_says_so(client: AsyncClient, model: FakeGenerator) -> None:
    reading = await client.read(PAGE)
    assert (reading.started.engine, reading.started.model) == ("model", MODEL)
    assert reading.started.reason == "ReaderLM-v2 is loaded and the page fits"
    assert reading.page.title == "A day at the harbour"
    assert "about the tide, which was low." in reading.text
    assert (reading.finished.finish_reason, reading.finished.chunks) == ("stop", 1)
    assert reading.finished.fidelity > 0.95
    assert reading.finished.output_tokens == -(-len(echo(model.prompts[0])) // 4)
    assert set(reading.finished.timings) == {"prepare", "generate"}
    (options,) = model.options
    assert (options.repetition_penalty, options.json_schema, options.draft) == (1.08, "", True)


async def test_the_model_is_listed(client: AsyncClient) -> None:
    (found,) = await client.models("reader")
    assert (found.name, found.ready) == (MODEL, True)


async def test_text_comes_as_the_model_writes_it(client: AsyncClient, model: FakeGenerator) -> None:
    events = [event async for event in client.read_stream(PAGE)]
    assert sum(isinstance(event, str) for event in events) > 20
    assert isinstance(events[0], ReadStarted)
    assert isinstance(events[-1], ReadFinished)


@pytest.mark.parametrize(
    ("source", "content_type", "options", "reason"),
    [
        (pdf_of([["Hello."]]), "application/pdf", ReadOptions(), "models read HTML alone"),
        (b"text", "text/plain", ReadOptions(), "models read HTML alone"),
        (PAGE, "", ReadOptions(format="text"), "models write TEXT only for a schema or an instruction"),
        (PAGE, "", ReadOptions(format="json"), "models write JSON only for a schema or an instruction"),
        (PAGE, "", ReadOptions(whole_page=True), "models read the main content alone"),
        (PAGE, "", ReadOptions(engine="rules"), "as requested"),
        (PAGE + b"<p>A long line of a long page.</p>" * 3000, "", ReadOptions(), "no model reads it: page.data: has 2"),
    ],
)
async def test_rules_read_what_the_model_cannot_and_say_why(
    client: AsyncClient, model: FakeGenerator, source: bytes, content_type: str, options: ReadOptions, reason: str
) -> None:
    started = await anext(client.read_stream(source, options, content_type=content_type))
    assert isinstance(started, ReadStarted)
    assert (started.engine, started.reason[: len(reason)]) == ("rules", reason)
    assert model.prompts == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ReadOptions(engine="model", format="text"), "engine: a model cannot be used: models write TEXT only"),
        (ReadOptions(engine="model", whole_page=True), "models read the main content alone"),
    ],
)
async def test_the_model_is_not_made_to_do_what_it_cannot(
    client: AsyncClient, options: ReadOptions, problem: str
) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        await anext(client.read_stream(PAGE, options))


async def test_a_page_without_text_costs_no_model(client: AsyncClient, model: FakeGenerator) -> None:
    with pytest.raises(FailedPrecondition, match="has no text"):
        await client.read(b"<script>app()</script>")
    assert model.prompts == []


async def test_a_long_page_is_read_in_parts_without_loss_or_repetition(
    client: AsyncClient, model: FakeGenerator
) -> None:
    rows = [f"Line number {number} of the log of the first boat" for number in range(400)]
    page = "<html><body>" + "".join(f"<div><p>{row}</p></div>" for row in rows) + "</body></html>"
    reading = await client.read(page.encode(), content_type="text/html")
    assert reading.text.split("\n\n") == rows
    assert 2 <= reading.finished.chunks <= 4
    assert reading.finished.chunks == len(model.prompts)
    assert reading.started.reason.endswith(f"the page fits in {len(model.prompts)} parts")
    for prompt, options in zip(model.prompts, model.options, strict=True):
        assert (len(prompt) // 4) + options.max_new_tokens <= model.max_tokens


async def test_a_narrow_window_bounds_what_is_written(client: AsyncClient) -> None:
    _GENERATORS.generator = model = FakeGenerator(max_tokens=1200)
    reading = await client.read(PAGE)
    assert (reading.started.engine, reading.finished.chunks) == ("model", 1)
    assert (await model.count(model.prompts))[0] + model.options[0].max_new_tokens in (1199, 1200)


async def test_a_prompt_that_leaves_no_room_is_refused(client: AsyncClient) -> None:
    _GENERATORS.generator = model = FakeGenerator(max_tokens=1000)
    with pytest.raises(InvalidArgument, match=r"page\.data: has \d+ tokens of HTML, ReaderLM-v2 reads 0 here"):
        await client.read(PAGE, instruction="What? " * 660)
    assert model.prompts == []


async def test_the_output_is_bounded_by_the_page_and_by_the_caller(client: AsyncClient, model: FakeGenerator) -> None:
    reading = await client.read(PAGE, max_tokens=20)
    assert reading.finished.finish_reason == "length"
    assert reading.finished.output_tokens == 20
    assert reading.started.engine == "model"
    model.reply = lambda prompt: " ".join(f"{word}" for word in range(100_000))
    reading = await client.read(PAGE, engine="model")
    assert reading.finished.finish_reason == "length"
    assert len(reading.text) <= 4 * model.options[-1].max_new_tokens
    assert model.options[-1].max_new_tokens <= max(1024, len(PAGE) // 4 + 1)


@pytest.mark.parametrize(
    ("output", "finish", "reason"),
    [
        ("The first boat came in at noon. " * 500, "loop", "ReaderLM-v2 repeated itself"),
        (INVENTED, "stop", "ReaderLM-v2 wrote what the page does not say (fidelity 0.0"),
        (" ".join(map(str, range(50_000))), "length", "ReaderLM-v2 wrote more than the page has"),
    ],
)
async def test_what_fails_the_guards_is_told_and_in_auto_read_by_rules(
    client: AsyncClient, model: FakeGenerator, output: str, finish: str, reason: str
) -> None:
    model.reply = lambda prompt: output
    asked = await client.read(PAGE, engine="model")
    assert (asked.started.engine, asked.finished.finish_reason) == ("model", finish)
    assert len(asked.text) < 20_000
    events = [event async for event in client.read_stream(PAGE)]
    starts = [event for event in events if isinstance(event, ReadStarted)]
    assert [start.engine for start in starts] == ["model", "rules"]
    assert starts[1].reason.startswith(reason)
    assert sum(isinstance(event, ReadFinished) for event in events) == 1
    reading = await client.read(PAGE)
    assert reading.text.startswith("The first boat came in at noon, and its crew")
    assert output[:20] not in reading.text or finish == "loop"
    assert reading.finished.fidelity == 1.0


async def test_a_loop_ends_the_generation(client: AsyncClient, model: FakeGenerator) -> None:
    model.reply = lambda prompt: "round and round " * 100_000
    reading = await client.read(PAGE, engine="model")
    assert len(reading.text) < 1000
    assert reading.finished.finish_reason == "loop"
    assert 0 < reading.finished.output_tokens < 300
    assert reading.finished.input_tokens == (await model.count(model.prompts))[0]


async def test_a_backend_that_goes_away_is_told_or_replaced(client: AsyncClient, model: FakeGenerator) -> None:
    model.failure = BackendUnavailable("the backend is gone")
    with pytest.raises(Unavailable, match="the backend is gone"):
        await client.read(PAGE, engine="model")
    reading = await client.read(PAGE)
    assert (reading.started.engine, reading.finished.finish_reason) == ("rules", "stop")
    assert reading.started.reason == "ReaderLM-v2 failed: the backend is gone"


async def test_a_caller_that_leaves_ends_the_generation(client: AsyncClient, model: FakeGenerator) -> None:
    model.hang.clear()
    reading = asyncio.ensure_future(client.read(PAGE, engine="model"))
    await eventually(lambda: len(model.prompts) == 1, "the model was asked")
    reading.cancel()
    await eventually(lambda: model.left_early == 1, "the generation has ended")


# JSON

SCHEMA = {"type": "object", "properties": {"boats": {"type": "integer"}}, "required": ["boats"]}


async def test_json_is_decoded_by_its_schema_and_satisfies_it(client: AsyncClient, model: FakeGenerator) -> None:
    model.reply = lambda prompt: '```json\n{"boats": 3}\n```'
    reading = await client.read(PAGE, json_schema=SCHEMA, instruction="Count the boats.")
    assert reading.json() == {"boats": 3}
    assert json.loads(model.options[0].json_schema) == SCHEMA
    assert "Count the boats.\n```html\n" in model.prompts[0]
    assert f"The JSON schema is as follows:```json\n{json.dumps(SCHEMA)}\n```" in model.prompts[0]


@pytest.mark.parametrize(
    ("output", "problem"),
    [('{"boats": "three"}', r"at \$\.boats 'three' is not of type 'integer'"), ('{"boats": 3', "is not JSON")],
)
async def test_json_that_breaks_its_schema_fails_the_call(
    client: AsyncClient, model: FakeGenerator, output: str, problem: str
) -> None:
    model.reply = lambda prompt: output
    with pytest.raises(FailedPrecondition, match=problem) as raised:
        await client.read(PAGE, json_schema=SCHEMA)
    assert raised.value.reason == "SCHEMA_VIOLATION"


async def test_an_instruction_is_followed_in_any_format(client: AsyncClient, model: FakeGenerator) -> None:
    model.reply = lambda prompt: "The first boat came in at noon"
    reading = await client.read(PAGE, instruction="When did the first boat come in?", format="text")
    assert (reading.text, reading.started.engine) == ("The first boat came in at noon", "model")
    model.reply = lambda prompt: '["noon"]'
    assert (await client.read(PAGE, instruction="When?", format="json")).json() == ["noon"]
    assert model.options[-1] == Options(1024, repetition_penalty=1.08, json_schema="{}")


async def test_json_of_a_page_in_parts_is_refused(client: AsyncClient, model: FakeGenerator) -> None:
    page = b"<html><body>" + b"<p>A long line of a long page.</p>" * 800
    with pytest.raises(InvalidArgument, match=r"page\.data: has \d+ tokens of HTML, ReaderLM-v2 reads") as raised:
        await client.read(page, content_type="text/html", json_schema=SCHEMA)
    assert raised.value.reason == "PAGE_TOO_LONG"
