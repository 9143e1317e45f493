"""Logits to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from searchmesh.catalog.sections import Score


def probabilities(logits: Sequence[float], score: Score) -> list[float]:
    """The logistic function of each logit, moved by the card's shift."""
    moved = np.asarray(logits, np.float64) + score.shift
    # By way of tanh, which does not overflow.
    return [float(value) for value in 0.5 + 0.5 * np.tanh(moved / 2)]
