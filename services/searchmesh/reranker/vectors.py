"""What ways of scoring do with vectors."""

from __future__ import annotations

import numpy as np

from searchmesh.encoding import Vectors


def unit(rows: Vectors) -> Vectors:
    """The rows [n, d] at unit length. Rows of zeros stay so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)
