"""A decoder from a published checkpoint to its texts, against transformers, behind the real tritonserver."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence

import jsonschema
import numpy as np
import pytest
from transformers import PreTrainedModel

from searchmesh.generation import Decoder, Finish, Options, Written
from searchmesh.local import MeshSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.triton import TritonBackend
from support.checkpoints_reader import write_reader
from support.decoders import backend_of, decoder_of, expected, spelled, tokens, tritonserver, written

MOST = 40
LENGTHS = (1, 5, 17, 50, 127, 128, 129, 300, 9, 12)
"""Of prompts: more than there are slots, around and above the pieces in which they are read."""

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["page", "post"]},
        "pages": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["title", "kind", "pages", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PreTrainedModel, MeshSettings]]:
    folder = tmp_path_factory.mktemp("served")
    model = write_reader(folder / "checkpoint")
    with tritonserver(folder / "home", folder / "checkpoint") as mesh:
        yield model, mesh


@pytest.fixture
def model(served: tuple[PreTrainedModel, MeshSettings]) -> PreTrainedModel:
    return served[0]


@pytest.fixture
async def backend(served: tuple[PreTrainedModel, MeshSettings]) -> AsyncIterator[TritonBackend]:
    async with backend_of(served[1]) as backend:
        yield backend


@pytest.fixture
async def decoder(served: tuple[PreTrainedModel, MeshSettings]) -> AsyncIterator[Decoder]:
    async with decoder_of(served[1]) as decoder:
        yield decoder


def prompt(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng([length, seed]).integers(3, 380, length).tolist()


def copied(ids: Sequence[int]) -> list[int]:
    """A prompt with the same beginning three times."""
    return [*ids, *ids, *ids[: len(ids) // 2]]


async def test_one_after_the_other_and_all_at_once_texts_are_those_of_transformers(
    backend: TritonBackend, model: PreTrainedModel
) -> None:
    prompts = [prompt(length) for length in LENGTHS]
    wanted = [expected(model, ids, MOST) for ids in prompts]
    options = Options(MOST)
    assert [await tokens(backend, ids, options) for ids in prompts] == wanted
    assert await asyncio.gather(*(tokens(backend, ids, options) for ids in prompts)) == wanted


async def test_texts_join_and_leave_while_others_are_written(backend: TritonBackend, model: PreTrainedModel) -> None:
    async def later(number: int) -> list[int]:
        await asyncio.sleep(number * 0.004)
        return await tokens(backend, prompt(20 + number), Options(10 + 5 * number))

    found = await asyncio.gather(*(later(number) for number in range(12)))
    assert found == [expected(model, prompt(20 + number), 10 + 5 * number) for number in range(12)]


async def test_drafts_change_how_fast_a_text_comes_and_not_the_text(decoder: Decoder, model: PreTrainedModel) -> None:
    drafted = 0
    for seed in range(6):
        ids = copied(prompt(60, seed))
        with_drafts = await written(decoder, ids, Options(120))
        without = await written(decoder, ids, Options(120, draft=False))
        wanted = expected(model, ids, 120)
        assert with_drafts.text == without.text == spelled(decoder, wanted)
        assert with_drafts.end.output_tokens == len(wanted)
        assert without.end.drafted == 0
        assert 0 <= with_drafts.end.accepted <= with_drafts.end.drafted
        drafted += with_drafts.end.accepted
    assert drafted > 0


async def test_penalties_are_those_of_transformers_with_drafts_too(
    backend: TritonBackend, model: PreTrainedModel
) -> None:
    for seed in range(3):
        ids = copied(prompt(40, seed))
        wanted = expected(model, ids, MOST, repetition_penalty=1.3)
        assert await tokens(backend, ids, Options(MOST, repetition_penalty=1.3)) == wanted
        assert wanted != expected(model, ids, MOST)


async def test_penalties_of_tokens_that_the_text_has(backend: TritonBackend) -> None:
    ids = prompt(12)
    plain = await tokens(backend, ids, Options(60))
    for options in (Options(60, frequency_penalty=2.0), Options(60, presence_penalty=2.0)):
        found = await tokens(backend, ids, options)
        assert len(set(found)) > len(set(plain))


async def test_a_text_ends_where_the_model_ends_it(decoder: Decoder, model: PreTrainedModel) -> None:
    finishes = set()
    for seed in range(30):
        ids = prompt(9, seed)
        found = await written(decoder, ids, Options(MOST))
        wanted = expected(model, ids, MOST)
        assert found.end.output_tokens == len(wanted)
        assert found.end.finish is (Finish.STOP if len(wanted) < MOST else Finish.LENGTH)
        assert found.end.input_tokens == len(ids)
        finishes.add(found.end.finish)
    assert finishes == {Finish.STOP, Finish.LENGTH}


async def test_pieces_never_hold_half_a_character(decoder: Decoder) -> None:
    # Bytes of characters of two to four bytes, in an order that makes some.
    options = Options(400, regex="(é|日本|🙂|— ){160}")
    found = await written(decoder, prompt(10), options)
    assert found.end.finish is Finish.STOP
    assert re.fullmatch(options.regex, found.text)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(found.pieces)
    assert len(found.pieces) > 5


async def test_a_stop_string_ends_a_text_wherever_tokens_begin(decoder: Decoder) -> None:
    ids = prompt(14)
    whole = (await written(decoder, ids, Options(MOST))).text
    ends = 0
    for place in range(2, len(whole) - 4, 3):
        stop = whole[place : place + 4]
        found = await written(decoder, ids, Options(MOST, stop=("not there", stop)))
        assert found.text == whole[: whole.index(stop)]
        assert (found.end.finish, found.end.stop) == (Finish.STOP, stop)
        ends += found.end.output_tokens < MOST
    assert ends > 3


async def test_json_satisfies_its_schema_with_and_without_drafts(decoder: Decoder) -> None:
    schema = json.dumps(SCHEMA)
    for seed in range(3):
        for draft in (True, False):
            options = Options(300, temperature=1.0, seed=seed, json_schema=schema, draft=draft)
            found = await written(decoder, prompt(10, seed), options)
            assert found.end.finish is Finish.STOP
            jsonschema.validate(json.loads(found.text), SCHEMA)


async def test_several_grammars_at_once(decoder: Decoder) -> None:
    patterns = ["[0-9]{7}", "(ab|cd){4}", "x+y", "[a-f]{3}-[a-f]{3}"]
    found = await asyncio.gather(
        *(written(decoder, prompt(8), Options(200, temperature=1.0, regex=pattern)) for pattern in patterns)
    )
    for text, pattern in zip(found, patterns, strict=True):
        assert re.fullmatch(pattern, text.text) or text.end.finish is Finish.LENGTH
    assert re.fullmatch(patterns[0], found[0].text)


async def test_the_same_seed_gives_the_same_text(backend: TritonBackend) -> None:
    ids = prompt(10)
    one, again, other = [await tokens(backend, ids, Options(MOST, temperature=1.2, seed=seed)) for seed in (7, 7, 8)]
    assert one == again
    assert one != other
    by_chance = [await tokens(backend, ids, Options(MOST, temperature=1.2)) for _ in range(2)]
    assert by_chance[0] != by_chance[1]


async def test_a_drafted_text_is_sampled_as_one_without_drafts(backend: TritonBackend) -> None:
    ids = copied(prompt(40))
    options = {"max_new_tokens": 80, "temperature": 0.05, "seed": 3}
    assert await tokens(backend, ids, Options(**options)) == await tokens(backend, ids, Options(**options, draft=False))


async def test_sampling_among_fewer_tokens_comes_down_to_the_best_one(
    backend: TritonBackend, model: PreTrainedModel
) -> None:
    ids = prompt(10)
    greedy = expected(model, ids, MOST)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert await tokens(backend, ids, Options(MOST, **{"temperature": 3.0, "seed": 1, **options})) == greedy
    narrow = await tokens(backend, ids, Options(1, temperature=3.0, top_k=2, seed=0))
    assert narrow[0] in _best(model, ids, 2)


def _best(model: PreTrainedModel, ids: Sequence[int], count: int) -> list[int]:
    import torch

    with torch.inference_mode():
        return model(torch.tensor([list(ids)])).logits[0, -1].topk(count).indices.tolist()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(10, json_schema="{"), "json_schema"),
        (Options(10, json_schema='{"type": "nonsense"}'), "json_schema"),
        (Options(10, regex="("), "regex"),
        (Options(10, temperature=-1), "temperature"),
        (Options(10, top_p=0), "top_p"),
        (Options(500), "input_ids"),
    ],
)
async def test_a_request_that_is_wrong_fails_alone(
    backend: TritonBackend, model: PreTrainedModel, options: Options, field: str
) -> None:
    ids = prompt(30)
    beside = asyncio.create_task(tokens(backend, ids, Options(MOST)))
    with pytest.raises(InvalidArgument) as raised:
        await tokens(backend, ids, options)
    assert raised.value.field == field
    assert await beside == expected(model, ids, MOST)


@pytest.mark.parametrize("ids", [[], [-1], [3, 448]])
async def test_tokens_that_the_model_does_not_have_are_refused(backend: TritonBackend, ids: list[int]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await tokens(backend, ids, Options(10))
    assert raised.value.field == "input_ids"


async def test_a_prompt_without_room_is_refused_before_it_is_sent(decoder: Decoder) -> None:
    with pytest.raises(InvalidArgument, match=r"page: has 500 tokens, with max_new_tokens 20 it needs 520; .* is 512"):
        await anext(
            decoder.write({"input_ids": np.ones(500, np.int64)}, Options(20), deadline=Deadline(), field="page")
        )


async def test_a_text_of_its_own_prompt(decoder: Decoder, model: PreTrainedModel) -> None:
    text = "<|im_start|>user\n<h1>Grüße 🙂</h1><|im_end|>\n<|im_start|>assistant\n"
    prompt = await decoder.prompt(text)
    ids = prompt["input_ids"].tolist()
    assert ids == decoder.tokenizer.encode([text])[0]
    assert await decoder.count([text, ""]) == [len(ids), 0]
    pieces = [piece async for piece in decoder.write(prompt, Options(MOST), deadline=Deadline.after(30))]
    assert isinstance(pieces[-1], Written)
    assert "".join(map(str, pieces[:-1])) == spelled(decoder, expected(model, ids, MOST))
