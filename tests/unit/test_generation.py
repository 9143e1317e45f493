"""Texts from decoders: what of their tokens is told, how they end, and who waits for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from searchmesh.generation import Finish, LoopGuard, Options, Stops, Written
from searchmesh.generation.admission import Admission
from searchmesh.generation.writing import write
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    SearchmeshError,
)
from searchmesh.text import Spelling, Tokenizer
from searchmesh.text.words import words, words_of
from support.models import write_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    file: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(file)
    tokenizer = Tokenizer(file)
    yield tokenizer
    tokenizer.close()


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


PROSE = "The first boat came in at noon and its crew carried the nets across the quay while gulls circled above them"
HAN = "第一艘船中午进港船员把网抬过码头海鸥在他们头上盘旋。"


def _loops(source: str, output: str, *, size: int = 5, patience: int = 1) -> int | None:
    """Where the guard stops the output, in characters."""
    guard = LoopGuard(words_of(source), patience=patience)
    for start in range(0, len(output), size):
        if guard.is_loop(output[start : start + size]):
            return start
    return None


@pytest.mark.parametrize(
    "loop",
    ["the ", "a b c ", "- [x](/y) and so on\n", PROSE + ". ", HAN, "好", "0", "0123456789" * 7, "…", " \n", "-- "],
)
@pytest.mark.parametrize("size", [1, 5, 64])
def test_a_loop_is_noticed(loop: str, size: int) -> None:
    stopped = _loops(PROSE, PROSE + "\n" + loop * 2000, size=size)
    assert stopped is not None
    assert stopped < len(PROSE) + 10 * max(len(loop), 110)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (PROSE, PROSE),
        ("yes no " * 500, "yes no " * 500),
        ("| 0 | 0 | 0 |\n" * 200, "| 0 | 0 | 0 |\n" * 200),
        (PROSE * 3, f"{PROSE}. {PROSE}. {PROSE}"),
        (HAN * 5, HAN * 5),
        (PROSE, " ".join(f"{number}: {PROSE}" for number in range(3))),
        (PROSE, " ".join(map(str, range(5000)))),
        (PROSE, f"{PROSE}\n{'|---' * 200}|\n{PROSE}"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 64])
def test_what_the_source_repeats_may_be_repeated(source: str, output: str, size: int) -> None:
    assert _loops(source, output, size=size) is None


def test_a_patient_guard_lets_a_column_of_the_same_number_pass_and_no_loop() -> None:
    assert _loops("", "| 0 " * 100, patience=128) is None
    stopped = _loops("", "| 0 " * 1000, patience=128)
    assert stopped is not None
    assert 100 * 4 < stopped < 200 * 4
    assert _loops("", f"{'| 0 ' * 100} {PROSE} {'| 1 ' * 100}", patience=128) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, été_2!", ["don", "t", "stop", "été_2"]),
        ("在7月 boat", ["在", "7", "月", "boat"]),
        ("a" * 70, ["a" * 32, "a" * 32, "a" * 6]),
        ("… -- |", []),
    ],
)
def test_words_are_runs_of_letters_and_letters_where_no_spaces_are_put(text: str, expected: list[str]) -> None:
    assert words(text) == expected


class Backend:
    """Streams the tokens of a text one by one, and with the last one its end."""

    def __init__(self, ids: list[int], end: Mapping[str, Any] | None) -> None:
        self._ids = ids
        self._end = end
        self.inputs: dict[str, NDArray[Any]] = {}
        self.sent = 0
        self.closed = False

    async def stream(self, model: str, inputs: Any, outputs: Any, *, deadline: Deadline) -> AsyncIterator[Any]:
        self.inputs = inputs
        try:
            for token in self._ids:
                self.sent += 1
                answer = {"token_ids": np.array([token])}
                if self._end is not None and self.sent == len(self._ids):
                    answer["end"] = np.frombuffer(json.dumps(self._end).encode(), np.uint8)
                yield answer
        finally:
            self.closed = True


def written(backend: Backend, tokenizer: Tokenizer, options: Options) -> AsyncGenerator[str | Written, None]:
    prompt = {"input_ids": np.array([1, 2])}
    return write(backend, "m", prompt, options, tokenizer.spelling(), Deadline.after(5))  # type: ignore[arg-type]


END = {"finish": "length", "input_tokens": 2, "output_tokens": 4, "drafted": 3, "accepted": 1}


async def test_tokens_become_text_and_their_end_the_end(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(["the quick brown fox"])[0]
    backend = Backend(ids, END)
    found = [event async for event in written(backend, tokenizer, Options(4, seed=3, stop=("cow",)))]
    assert "".join(event for event in found if isinstance(event, str)) == "the quick brown fox"
    assert found[-1] == Written(Finish.LENGTH, "", 2, len(ids), drafted=3, accepted=1)
    options = json.loads(backend.inputs["options"].tobytes())
    assert (options["max_new_tokens"], options["seed"], options["temperature"]) == (4, 3, 0)
    assert "stop" not in options
    assert 0 < options["timeout_ms"] <= 5000
    assert backend.closed


async def test_a_stop_string_ends_the_generation(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(["the quick brown fox"])[0]
    backend = Backend(ids, END)
    found = [event async for event in written(backend, tokenizer, Options(4, stop=("brown",)))]
    assert "".join(event for event in found if isinstance(event, str)) == "the quick "
    assert found[-1] == Written(Finish.STOP, "brown", 2, backend.sent)
    assert backend.closed
    assert backend.sent < len(ids)


async def test_a_loop_ends_the_generation(tokenizer: Tokenizer) -> None:
    backend = Backend(tokenizer.encode(["the quick brown fox"])[0] * 100, END)
    prompt = {"input_ids": np.array([1, 2])}
    events = write(
        backend,  # type: ignore[arg-type]
        "m",
        prompt,
        Options(1000),
        tokenizer.spelling(),
        Deadline.after(5),
        guard=LoopGuard(words_of("")),
    )
    found = [event async for event in events]
    assert found[-1] == Written(Finish.LOOP, "", 2, backend.sent)
    assert backend.closed
    assert backend.sent < 200


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": "invalid", "message": "json_schema: is too large"}, InvalidArgument),
        ({"error": "full", "message": "no room"}, Overloaded),
        ({"error": "expired", "message": "late"}, DeadlineExceeded),
        ({"error": "cancelled", "message": "gone"}, Cancelled),
        ({"error": "failed", "message": "out of memory"}, Internal),
        (None, Internal),
    ],
)
async def test_what_the_decoder_has_against_a_request_is_raised(
    tokenizer: Tokenizer, said: dict[str, str] | None, error: type[SearchmeshError]
) -> None:
    with pytest.raises(error) as raised:
        [event async for event in written(Backend([1], said), tokenizer, Options(4))]
    if isinstance(raised.value, InvalidArgument):
        assert (raised.value.field, raised.value.problem) == ("json_schema", "is too large")
    if isinstance(raised.value, Overloaded):
        assert raised.value.retry_after_s > 0


async def test_who_waited_longest_gets_the_slot_and_who_is_one_too_many_is_shed() -> None:
    admission = Admission("m", slots=1, waiting=2)
    order: list[int] = []

    async def text(number: int) -> None:
        async with admission.slot(Deadline()):
            order.append(number)
            await asyncio.sleep(0)

    async with admission.slot(Deadline()):
        texts = [asyncio.create_task(text(number)) for number in range(2)]
        await asyncio.sleep(0)
        assert (admission.in_flight, admission.waiting) == (1, 2)
        with pytest.raises(Overloaded, match="1 texts are being written with m and 2 wait") as raised:
            await text(2)
        assert raised.value.retry_after_s >= 0.5
    await asyncio.gather(*texts)
    assert order == [0, 1]
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_who_waits_too_long_or_leaves_takes_no_slot() -> None:
    admission = Admission("m", slots=1, waiting=2)
    async with admission.slot(Deadline()):
        with pytest.raises(DeadlineExceeded):
            async with admission.slot(Deadline.after(0.01)):
                raise AssertionError("there was no slot")
        leaves = asyncio.create_task(admission.slot(Deadline()).__aenter__())
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert admission.waiting == 0
    async with admission.slot(Deadline.after(0.01)):
        assert admission.in_flight == 1
