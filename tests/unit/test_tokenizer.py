"""Truncation, prompts and limits of the tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.text import Tokenizer, Truncation
from support.models import write_tokenizer
from support.rerankers import QWEN_SPECIALS, qwen_tokenizer

CLS, SEP = 2, 3


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_tokenizer(tmp_path / "tokenizer.json")
    return Tokenizer(tmp_path / "tokenizer.json")


async def _ids(tokenizer: Tokenizer, text: str, limit: int, truncation: Truncation, prompt: str = "") -> list[int]:
    (made,) = await tokenizer.tokenize([text], max_tokens=limit, truncation=truncation, prompt=prompt, field=str)
    assert made.truncated == (len(made.ids) == limit)
    return made.ids


async def test_special_tokens_surround_every_text(tokenizer: Tokenizer) -> None:
    ids = await _ids(tokenizer, "the quick fox", 100, Truncation.REFUSE)
    assert (ids[0], ids[-1], len(ids)) == (CLS, SEP, 5)
    assert tokenizer.around == (1, 1)


async def test_too_long_a_text_is_refused_by_name_tokens_and_limit(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await tokenizer.tokenize(
            ["fox", "the quick brown fox"],
            max_tokens=5,
            truncation=Truncation.REFUSE,
            field=lambda position: f"texts[{position}]",
        )
    assert raised.value.field == "texts[1]"
    assert "6 tokens" in raised.value.message
    assert "limit is 5" in raised.value.message
    assert raised.value.reason == "INPUT_TOO_LONG"


async def test_truncation_keeps_the_chosen_end_and_the_special_tokens(tokenizer: Tokenizer) -> None:
    whole = await _ids(tokenizer, "the quick brown fox jumps", 100, Truncation.END)
    assert await _ids(tokenizer, "the quick brown fox jumps", 5, Truncation.END) == [*whole[:4], SEP]
    assert await _ids(tokenizer, "the quick brown fox jumps", 5, Truncation.START) == [CLS, *whole[-4:]]


async def test_truncation_never_cuts_the_prompt(tokenizer: Tokenizer) -> None:
    prompt = await _ids(tokenizer, "search", 100, Truncation.END)
    for truncation in (Truncation.END, Truncation.START):
        ids = await _ids(tokenizer, "the quick brown fox jumps", 6, truncation, prompt="search ")
        assert ids[: len(prompt) - 1] == prompt[:-1]
        assert len(ids) == 6


async def test_long_texts_give_the_same_ids_as_short_ones(tokenizer: Tokenizer) -> None:
    texts = ["the quick brown fox"] * 200  # beyond what is tokenised on the event loop
    many = await tokenizer.tokenize(texts, max_tokens=100, truncation=Truncation.REFUSE, field=str)
    (one,) = await tokenizer.tokenize(texts[:1], max_tokens=100, truncation=Truncation.REFUSE, field=str)
    assert {tuple(text.ids) for text in many} == {tuple(one.ids)}


async def test_texts_are_cut_to_so_many_tokens_as_texts(tokenizer: Tokenizer) -> None:
    text = "the quick brown fox  jumps"
    end, start, whole = [
        (await tokenizer.shortened([text], max_tokens=tokens, truncation=truncation, field=str))[0]
        for tokens, truncation in ((3, Truncation.END), (3, Truncation.START), (5, Truncation.REFUSE))
    ]
    assert (end.text, end.tokens, end.truncated) == ("the quick brown", 3, True)
    assert (start.text, start.tokens, start.truncated) == ("brown fox  jumps", 3, True)
    assert (whole.text, whole.tokens, whole.truncated) == (text, 5, False)
    with pytest.raises(InvalidArgument, match="documents 1: has 5 tokens, the limit is 4"):
        await tokenizer.shortened(
            ["fox", text], max_tokens=4, truncation=Truncation.REFUSE, field=lambda place: f"documents {place}"
        )


@pytest.mark.parametrize("truncation", [Truncation.END, Truncation.START])
async def test_a_cut_never_goes_through_a_character(tmp_path: Path, truncation: Truncation) -> None:
    """Byte-level tokens may be parts of a character; what is kept has no more tokens than before."""
    qwen_tokenizer().save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    text = "a🤔bß🤔🤔c"
    (ids,) = tokenizer.encode([text])
    assert len(ids) > len(text)
    for tokens in range(1, len(ids)):
        (cut,) = await tokenizer.shortened([text], max_tokens=tokens, truncation=truncation, field=str)
        kept = text.startswith if truncation is Truncation.END else text.endswith
        assert kept(cut.text)
        assert tokens - 3 <= len(tokenizer.encode([cut.text])[0]) <= tokens


def test_special_words_are_the_special_tokens_alone(tmp_path: Path) -> None:
    made = qwen_tokenizer()
    made.add_tokens(["<think>"])
    made.save(str(tmp_path / "tokenizer.json"))
    assert sorted(Tokenizer(tmp_path / "tokenizer.json").special_words) == sorted(QWEN_SPECIALS)
