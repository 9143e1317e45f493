"""Checkpoints of a Qwen2 decoder with a vocabulary of numbered words: one with random weights, and one that copies.

The copying one is an induction circuit (arXiv 2209.11895) that is written down, not trained: a head of the first layer
tells each token what stands before it, a head of the second finds the token that stood behind the last one, and that is
what comes next. All other layers are as large and as slow as they are, and add nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = "ReaderLM-v2"
"""Whose layout it is."""

LAYERS, WIDTH, HEADS, KEY_HEADS, INNER, VOCABULARY = 24, 384, 6, 2, 1024, 32_768
LONGEST = 2048

BEGIN = 0
"""The token before all others of a prompt to copy from."""

SPANS, SPAN = 16, 24
"""What is copied: so many spans of so many tokens."""

_HEAD_WIDTH = 64
_THETA = 1e12
"""So large that the lower half of the frequencies of a head leaves vectors as they are, over all positions."""

_CODE = _HEAD_WIDTH // 2
"""A token is 32 signs. Where a vector has its own, those of the token before it, those of what is copied, and a place
for each span whose last token it is:"""
_OWN, _BEFORE, _COPIED, _ENDS = 0, _CODE, 2 * _CODE, 3 * _CODE

_SHARPNESS = 24.0
"""Of the head that looks one token back: it is to see no other."""

_MATCH = 3.0
_JUMP = 100.0
"""More than what is copied can weigh: `_CODE`."""


def write_random(folder: Path) -> None:
    """Random weights; the text never ends by itself."""
    _write(_qwen2(), folder)


def write_copying(folder: Path) -> None:
    """Writes span after span of those in the prompt, in the order of their numbers and round again."""
    import torch

    model = _qwen2()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.fill_(1.0)
        codes = torch.randint(0, 2, (VOCABULARY, _CODE), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        words = model.model.embed_tokens.weight.zero_()
        words[:, _OWN:_BEFORE] = codes
        _look_back(model.model.layers[0].self_attn)
        _find(model.model.layers[1].self_attn)
        known = SPANS * SPAN + 1
        head = model.lm_head.weight.zero_()
        head[:known, _COPIED:_ENDS] = codes[:known]
        for span in range(SPANS):
            words[_token(span, SPAN - 1), _ENDS + span] = 1.0
            head[_token((span + 1) % SPANS, 0), _ENDS + span] = _JUMP
    _write(model, folder)


def to_copy(seed: int) -> NDArray[np.int64]:
    """A prompt for `write_copying`'s model: all spans in random order."""
    spans = np.arange(1, 1 + SPANS * SPAN).reshape(SPANS, SPAN)
    return np.concatenate([[BEGIN], np.random.default_rng(seed).permutation(spans).reshape(-1)])


def text(ids: Sequence[int]) -> str:
    """How the tokenizer spells them."""
    return " ".join(f"t{token}" for token in ids)


def _token(span: int, place: int) -> int:
    return 1 + span * SPAN + place


def _look_back(attention: Any) -> None:
    """Vectors get the code of the token before them, by its position alone: cos(distance - 1) in all frequencies."""
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.zero_()
        projection.bias.zero_()
    half = _HEAD_WIDTH // 2
    for pair in range(half // 2):
        frequency = _THETA ** (-pair / half)
        attention.k_proj.bias[pair] = _SHARPNESS
        attention.q_proj.bias[pair] = _SHARPNESS * math.cos(frequency)
        attention.q_proj.bias[half + pair] = -_SHARPNESS * math.sin(frequency)
    _move(attention, _BEFORE, _norm(_CODE))


def _find(attention: Any) -> None:
    """Vectors get the code of the token that has theirs before it."""
    import torch

    half = _HEAD_WIDTH // 2
    # Those of the head's numbers that positions do not turn.
    still = torch.cat([torch.arange(half // 2, half), torch.arange(half + half // 2, 2 * half)])
    for projection, read in ((attention.q_proj, _OWN), (attention.k_proj, _BEFORE)):
        projection.weight.zero_()
        projection.bias.zero_()
        projection.weight[still, read + torch.arange(_CODE)] = _MATCH
    _move(attention, _COPIED, _norm(2 * _CODE))


def _move(attention: Any, to: int, scale: float) -> None:
    """The first head writes the code of what it sees there; the norm before it multiplied by `scale`."""
    import torch

    places = torch.arange(_CODE)
    attention.v_proj.weight[:_HEAD_WIDTH] = 0
    attention.v_proj.bias.zero_()
    attention.v_proj.weight[places, _OWN + places] = 1
    attention.o_proj.weight[to + places, places] = 1 / scale


def _norm(ones: int) -> float:
    """What the norm multiplies a vector by that has so many numbers of size 1."""
    return math.sqrt(WIDTH / ones)


def _qwen2() -> Any:
    """With random weights."""
    from transformers import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    from searchmesh_bench.figures.graphs import random_weights

    end = VOCABULARY - 1
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=LONGEST,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": _THETA},
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return random_weights(Qwen2ForCausalLM(config))


def _write(model: Any, folder: Path) -> None:
    """With a tokenizer that spells every token as a word of its own, so that texts tell their tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    with torch.no_grad():
        # Other logits are above 0.
        model.lm_head.weight[VOCABULARY - 1] = 0
    model.save_pretrained(folder)
    words = {text([token]): token for token in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=text([BEGIN])))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": "Qwen2Tokenizer"} | dict.fromkeys(
        ("eos_token", "pad_token"), text([VOCABULARY - 1])
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
