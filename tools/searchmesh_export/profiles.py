"""The shapes that TensorRT builds an engine for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from searchmesh.catalog import Card
from searchmesh_export.built import Graph

MAX_ROWS = 256
"""Rows of the largest batch on a GPU."""

_BEST_TOKENS = 16_384
"""Rows x length (or patches) that a profile of its own is tuned for, and the most that it takes."""

_ENGINE_TOKENS = 65_536
"""The most that an engine with one profile for all lengths takes: it holds memory for its largest batch."""

_SHORTEST = 32
"""The first octave ends here."""

_MAX_SPANS = 1024
_MAX_PICKS = 128
_USUAL_FEATURES = 768
_IMAGES = 16
"""Rows of the largest batch of images of a fixed size."""

Axes = Mapping[str, int]
"""Sizes of the free axes (`tensors.FREE`)."""


@dataclass(frozen=True)
class Profile:
    """Smallest and largest sizes (inclusive), and those that it is tuned for."""

    smallest: Axes
    usual: Axes
    largest: Axes


def octaves(graph: Graph, card: Card) -> list[Profile]:
    """Profiles for lengths 1 to 32, 33 to 64, … the longest, each with as many rows as the budget of tokens allows.

    Those of a vision graph follow the number of patches in the same way, or are one where an image has a fixed size.
    """
    axis, shortest, longest = _span(graph, card)
    step = graph.sizes.slot_group if axis == "slots" else 1
    profiles = []
    for low, high in _ranges(shortest, longest, step):
        rows = min(MAX_ROWS, max(1, _BEST_TOKENS // high)) if axis != "rows" else _IMAGES
        profiles.append(_profile(low, high, rows))
    return profiles


def whole(graph: Graph, card: Card) -> Profile:
    """One profile of all lengths."""
    axis, shortest, longest = _span(graph, card)
    rows = min(MAX_ROWS, max(1, _ENGINE_TOKENS // longest)) if axis != "rows" else _IMAGES
    best = min(rows, max(1, _BEST_TOKENS // longest))
    profile = _profile(shortest, longest, rows)
    return Profile(profile.smallest, {**profile.usual, "rows": best}, profile.largest)


def shapes(graph: Graph, axes: Axes) -> str:
    """All inputs as trtexec and ONNX Runtime want them: ``name:4x128,name:4x1``."""
    return ",".join(
        f"{tensor.name}:"
        + "x".join(str(axes[axis] if isinstance(axis, str) else axis) for axis in tensor.shape(graph.sizes))
        for tensor in graph.takes
    )


def _span(graph: Graph, card: Card) -> tuple[str, int, int]:
    """The axis that sets the cost of a row, and its smallest and largest size."""
    if "input_ids" in graph.inputs:
        return "length", 1, card.max_tokens
    if "patches" in graph.inputs:
        return "slots", graph.sizes.slot_group, _most_slots(graph, card)
    return "rows", 1, 1


def _most_slots(graph: Graph, card: Card) -> int:
    """Those of the largest image. Windows that its edges do not fill may double them."""
    if card.image is None or card.image.max_tokens is None:
        raise ValueError(f"the card of {card.name} has no image.max_tokens")
    group, merged = graph.sizes.slot_group, graph.sizes.merged
    slots = card.image.max_tokens * merged * (2 if group > merged else 1)
    return -(-slots // group) * group


def _ranges(shortest: int, longest: int, step: int) -> Iterator[tuple[int, int]]:
    low, high = shortest, min(max(_SHORTEST, step), longest)
    while True:
        yield low, high
        if high == longest:
            return
        low, high = high + step, min(high * 2, longest)


def _profile(low: int, high: int, rows: int) -> Profile:
    return Profile(
        smallest={"rows": 1, "length": low, "slots": low, "spans": 1, "features": 1, "picks": 1},
        usual={
            "rows": rows,
            "length": high,
            "slots": high,
            "spans": 1,
            "features": min(high, _USUAL_FEATURES),
            "picks": min(high, _MAX_PICKS) // 2 or 1,
        },
        largest={
            "rows": rows,
            "length": high,
            "slots": high,
            "spans": min(high, _MAX_SPANS),
            "features": high,
            "picks": min(high, _MAX_PICKS),
        },
    )
