"""The exported decoder, as it will run, against its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from searchmesh.catalog import Parity, Precision
from searchmesh_export import parity
from searchmesh_export.decoders.reference import Reference
from searchmesh_export.templates.decoder.graph import Graph

_PIECE = 16
"""Prompts are read in pieces of so many tokens and written on side by side, so that the cache is used as it will be."""


def measure(expected: Reference, file: Path, precision: Precision) -> Parity:
    """Errors of the logits by which the decoder chooses each token of the reference.

    Raises FailedPrecondition if one exceeds the precision's tolerance.
    """
    prompts = expected.prompts
    room = max(map(len, prompts)) + expected.logits.shape[1]
    graph = Graph(file, slots=len(prompts), room=room)
    found = np.empty_like(expected.logits)
    cached = np.zeros(len(prompts), np.int64)
    for row, prompt in enumerate(prompts):
        for start in range(0, len(prompt), _PIECE):
            piece = np.array([prompt[start : start + _PIECE]], np.int64)
            found[row, 0] = graph.run(row, piece, cached[row : row + 1], skip=piece.shape[1] - 1)[0, 0]
            cached[row] += piece.shape[1]
    tokens = np.array(expected.written, np.int64)
    for place in range(1, tokens.shape[1]):
        found[:, place] = graph.run(0, tokens[:, place - 1 : place], cached)[:, 0]
        cached += 1
    width = expected.logits.shape[-1]
    return parity.of_vectors(found.reshape(-1, width), expected.logits.reshape(-1, width), precision)
