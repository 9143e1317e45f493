"""Loads of a pool: items and their work, step by step; recorded, or made from a seed."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument

STEP_S = 0.1
TRACES = {
    "azure_conv": "azure_conv.csv.gz",
    "azure_code": "azure_code.csv.gz",
    "mooncake_conversation": "mooncake_conversation.jsonl.gz",
}
MADE = ("steady", "ramp", "zipf")

_RAMP = 16 / 3
"""Of `ramp`: how much it grows."""
_ZIPF_TEXTS = 100_000
_ZIPF_NEW = 0.3
"""Of `zipf`: share of the questions that nobody asks again."""


@dataclass(frozen=True)
class Load:
    """Arrays of one number a step."""

    items: NDArray[np.float64]
    work: NDArray[np.float64]
    """In items of mean length: what pods have to do, while the scaler counts items."""
    step_s: float = STEP_S

    @property
    def seconds(self) -> float:
        return len(self.items) * self.step_s


def load_of(name: str, *, per_second: float, minutes: float, seed: int, traces: Path) -> Load:
    """A load with that mean rate of items.

    `steady`: Poisson. `ramp`: Poisson that grows to 16/3 within a minute, after a seventh of the time, and falls back
    after three sevenths. `zipf`: three in ten texts are new, the others of 100,000 by Zipf's law, and those that a
    cache has seen are not offered, so less and less is (`per_second` counts all questions). Names of `TRACES`: an hour
    of a recorded service, its prompts' lengths as work; each arrival counts as many items as make the mean rate, so
    the bursts grow with it.
    """
    if name in TRACES:
        return _trace(traces / TRACES[name], per_second)
    chance = np.random.default_rng(seed)
    steps = round(minutes * 60 / STEP_S)
    if name == "steady":
        return _poisson(chance, np.full(steps, per_second))
    if name == "ramp":
        shape = np.interp(np.arange(steps) * STEP_S, *_ramp(minutes * 60))
        return _poisson(chance, shape * per_second / shape.mean())
    if name == "zipf":
        return _zipf(chance, steps, per_second)
    raise InvalidArgument("load", f"is {name}; the loads are {', '.join((*MADE, *TRACES))}")


def _ramp(seconds: float) -> tuple[list[float], list[float]]:
    up, down = seconds / 7, seconds * 3 / 7
    return [up, up + 60, down, down + 60], [1.0, _RAMP, _RAMP, 1.0]


def _poisson(chance: np.random.Generator, per_second: NDArray[np.float64]) -> Load:
    items = chance.poisson(per_second * STEP_S).astype(np.float64)
    return Load(items, items)


def _zipf(chance: np.random.Generator, steps: int, per_second: float) -> Load:
    new = chance.poisson(_ZIPF_NEW * per_second * STEP_S, steps)
    asked = chance.poisson((1 - _ZIPF_NEW) * per_second * STEP_S, steps)
    # Ranks whose logarithm is uniform follow Zipf's law with exponent 1.
    texts = (_ZIPF_TEXTS ** chance.random(int(asked.sum()))).astype(np.int64)
    first = np.zeros(len(texts), dtype=np.float64)
    first[np.unique(texts, return_index=True)[1]] = 1
    items = new.astype(np.float64)
    items += np.bincount(np.repeat(np.arange(steps), asked), weights=first, minlength=steps)
    return Load(items, items)


def _trace(path: Path, per_second: float) -> Load:
    try:
        arrivals = np.array(list(_arrivals(path)), dtype=np.float64)
    except OSError as error:
        raise FailedPrecondition(
            f"no trace in {path}: SEARCHMESH_DATA names the folder with traces-llm/", reason="NO_TRACE"
        ) from error
    seconds = arrivals[:, 0] - arrivals[:, 0].min()
    steps = int(seconds.max() / STEP_S) + 1
    weight = per_second * steps * STEP_S / len(arrivals)
    at = (seconds / STEP_S).astype(np.int64)
    lengths = arrivals[:, 1] / arrivals[:, 1].mean()
    return Load(
        np.bincount(at, minlength=steps) * weight,
        np.bincount(at, weights=lengths, minlength=steps) * weight,
    )


def _arrivals(path: Path) -> Iterator[tuple[float, float]]:
    """Seconds and tokens of the prompt of each request."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        if path.name.endswith(".jsonl.gz"):
            for line in lines:
                request = json.loads(line)
                yield request["timestamp"] / 1000, request["input_length"]
        else:
            for row in csv.DictReader(lines):
                # Seven digits of a second are one too many for Python 3.11.
                yield datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp(), float(row["ContextTokens"])
