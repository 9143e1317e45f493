"""The figures of decoders, on small ones behind a tritonserver of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from searchmesh.runtime.errors import Internal
from searchmesh_bench import random_decoder
from searchmesh_bench.figures.decoders import Texts, check_same
from searchmesh_bench.figures.decoding import decoding
from searchmesh_bench.figures.drafting import drafting

SMALL = {"LAYERS": 3, "WIDTH": 128, "HEADS": 2, "KEY_HEADS": 1, "INNER": 64, "VOCABULARY": 500, "SPANS": 4}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in SMALL.items():
        monkeypatch.setattr(random_decoder, name, size)
    for figure, values in {
        decoding: {"_PRECISIONS": ("fp32",), "_STREAMS": (1, 3), "_PROMPT": 20, "_NEW": 16, "_ROUNDS": 1},
        drafting: {"_STREAMS": (1, 3), "_NEW": 60, "_ROUNDS": 1},
    }.items():
        for name, value in values.items():
            monkeypatch.setattr(sys.modules[figure.__module__], name, value)


async def test_both_sides_write_the_same_texts_alone_and_at_once() -> None:
    figure = await decoding(None)  # type: ignore[arg-type]
    assert [row.what for row in figure.comparisons] == ["fp32, 1 at once", "fp32, 3 at once"]
    for row in figure.comparisons:
        assert row.measured > 0
        assert row.reference > 0
        assert str(row.target) == "≥ 0.9"


async def test_drafts_are_right_where_a_text_is_copied() -> None:
    figure = await drafting(None)  # type: ignore[arg-type]
    assert [(row.what, str(row.target)) for row in figure.comparisons] == [
        ("1 at once", "≥ 1.8"),
        ("3 at once", "None"),
    ]
    said = re.match(r"(\d+)% of (\d+) drafted tokens were right", figure.conditions[1])
    assert said is not None
    assert 50 < int(said[1]) < 100  # it leaves each span where the prompt goes on otherwise
    assert int(said[2]) > 60


def test_texts_that_differ_are_no_figure() -> None:
    with pytest.raises(Internal, match="the same texts"):
        check_same(Texts(1.0, ["t1 t2"], 2), Texts(1.0, ["t1 t3"], 2))


def test_spans_are_copied_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    random_decoder.write_copying(tmp_path)
    model = Qwen2ForCausalLM.from_pretrained(tmp_path).eval()
    prompt = random_decoder.to_copy(seed=3)
    count = SMALL["SPANS"] * random_decoder.SPAN
    assert sorted(prompt) == list(range(1 + count))
    ids = torch.from_numpy(prompt)[None]
    found = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count + 5, do_sample=False)
    written = found[0, len(prompt) :].numpy()
    assert np.array_equal(written, 1 + (prompt[-1] + np.arange(count + 5)) % count)
