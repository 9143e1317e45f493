"""ReaderLM-v2 from a published checkpoint to the answers of the reader, against transformers.

The checkpoint is exported by the command that a user runs and served by tritonserver; the reader is the program that a
mesh runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jsonschema
import pytest
import tokenizers
from transformers import PreTrainedModel

from searchmesh.client import AsyncClient, ReadOptions, ReadStarted
from searchmesh.local import MeshSettings
from searchmesh.reader.model.decoded import DecodedGenerator
from searchmesh.reader.model.planning import Planner
from searchmesh.reader.options import ReadOptions as Options
from searchmesh.reader.page import Source
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.rpc import Call
from support.checkpoints_reader import write_reader
from support.client import client_of
from support.decoders import MODEL, decoder_of, expected
from support.exports import serving
from support.pages import article

MOST = 40
WINDOW = 2048

Served = tuple[PreTrainedModel, tokenizers.Tokenizer, MeshSettings]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = write_reader(folder / "checkpoint", seed=1, brief=True, max_position_embeddings=WINDOW)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "checkpoint" / "tokenizer.json"))
    with serving(folder / "home", {MODEL: folder / "checkpoint"}, "reader") as mesh:
        yield model, tokenizer, mesh


@pytest.fixture
async def client(served: Served) -> AsyncIterator[AsyncClient]:
    async with client_of(served[2]) as client:
        yield client


Text = tuple[str, int]


@pytest.fixture
def written(served: Served) -> Callable[[str, int], Text]:
    """What transformers writes for a page, and how many tokens that are."""
    model, tokenizer, _ = served

    def write(html: str, most: int) -> Text:
        prompt = (
            "<|im_start|>system\nYou are an AI assistant developed by Jina AI.<|im_end|>\n<|im_start|>user\nExtract the"
            " main content from the given HTML and convert it to Markdown format.\n```html\n"
            f"{html}\n```<|im_end|>\n<|im_start|>assistant\n"
        )
        tokens = expected(model, tokenizer.encode(prompt).ids, most, repetition_penalty=1.08)
        return tokenizer.decode(tokens), len(tokens)

    return write


def page(number: int) -> str:
    lines = (f"<p>Line {line} of page {number}.</p>" for line in range(1 + 3 * number))
    return f"<html><body>{''.join(lines)}</body></html>"


async def read(client: AsyncClient, number: int) -> Text:
    reading = await client.read(page(number).encode(), engine="model", max_tokens=MOST)
    assert (reading.started.engine, reading.started.model) == ("model", MODEL)
    assert reading.finished.finish_reason == ("stop" if reading.finished.output_tokens < MOST else "length")
    return reading.text, reading.finished.output_tokens


async def test_one_after_the_other_and_all_at_once_texts_are_those_of_transformers(
    client: AsyncClient, written: Callable[[str, int], Text]
) -> None:
    wanted = [written(page(number), MOST) for number in range(10)]
    assert [await read(client, number) for number in range(10)] == wanted
    assert await asyncio.gather(*(read(client, number) for number in range(10))) == wanted
    assert {tokens < MOST for _, tokens in wanted} == {True, False}


async def test_readings_that_are_given_up_disturb_nobody(
    client: AsyncClient, written: Callable[[str, int], Text]
) -> None:
    endless = ReadOptions(json_schema={"type": "array", "items": {"type": "string"}, "minItems": 500})

    async def give_up() -> int:
        count = 0
        async for event in (events := client.read_stream(page(1).encode(), endless)):
            count += isinstance(event, str)
            if count == 3:
                break
        await events.aclose()
        return count

    readings = [read(client, number) for number in range(4, 8)]
    *left, beside = await asyncio.gather(*(give_up() for _ in range(8)), asyncio.gather(*readings))
    assert left == [3] * 8
    assert beside == [written(page(number), MOST) for number in range(4, 8)]
    assert await read(client, 9) == written(page(9), MOST)


@pytest.mark.parametrize("instruction", ["", "How many pages are there?"])
async def test_json_satisfies_its_schema(client: AsyncClient, instruction: str) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 8},
            "kind": {"enum": ["page", "post"]},
            "pages": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["title", "kind", "pages"],
        "additionalProperties": False,
    }
    reading = await client.read(page(3).encode(), json_schema=schema, instruction=instruction)
    assert (reading.started.engine, reading.finished.finish_reason) == ("model", "stop")
    jsonschema.validate(reading.json(), schema)


async def test_rules_read_what_the_model_fails_at(client: AsyncClient) -> None:
    html = article("<p>One more line about the tide, which was low.</p>").encode()
    starts = [event async for event in client.read_stream(html) if isinstance(event, ReadStarted)]
    assert [start.engine for start in starts] == ["model", "rules"]
    assert starts[0].reason.startswith(f"{MODEL} is loaded and the page fits")
    assert starts[1].reason.startswith(f"{MODEL} wrote what the page does not say (fidelity 0.0")
    reading = await client.read(html)
    assert reading.text == (await client.read(html, engine="rules")).text


class _Here:
    """Does the jobs of the sandbox in this process."""

    async def call(self, job: Callable[..., Any], *arguments: Any, deadline: Deadline, field: str) -> Any:
        return job(*arguments)


async def test_a_long_page_is_read_part_by_part(
    client: AsyncClient, served: Served, written: Callable[[str, int], Text]
) -> None:
    html = page(60)
    async with decoder_of(served[2]) as decoder:
        planner = Planner(_Here(), ReaderSettings())  # type: ignore[arg-type]
        plan = await planner.plan(
            Source(html.encode(), "text/html"), Options(), DecodedGenerator(decoder), Call(Deadline())
        )
    wanted = [written(part, WINDOW // 3) for part in plan.parts]
    assert sum(tokens > 0 for _, tokens in wanted) > 2
    reading = await client.read(html.encode(), engine="model")
    assert (reading.finished.chunks, reading.finished.finish_reason) == (len(wanted), "stop")
    assert reading.text == "\n\n".join(text for text, _ in wanted if text)
    assert reading.finished.output_tokens == sum(tokens for _, tokens in wanted)
