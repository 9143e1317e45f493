"""The client reads every dtype as the embedding service writes it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from searchmesh.client.vectors import decoded, dequantised
from searchmesh.client.words import DTYPES, DType
from searchmesh.embedding.dtypes import packed
from searchmesh.runtime.errors import Internal
from searchmesh.v1 import common_pb2

# Exclude values so small that squaring them is zero: such a vector has no direction in float32.
_COMPONENTS = st.floats(-1, 1, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
_VECTORS = st.tuples(st.integers(1, 5), st.integers(1, 70)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=_COMPONENTS)
)


def _decoded(vectors: np.ndarray, word: str) -> tuple[np.ndarray, np.ndarray]:
    dtype = DTYPES[word]
    message = common_pb2.Vectors(dtype=dtype, dimensions=vectors.shape[1], data=packed(vectors, dtype))
    rows = decoded(common_pb2.Vectors.FromString(message.SerializeToString()))
    return rows, dequantised(rows, dtype, vectors.shape[1])


def test_the_words_are_all_dtypes_of_the_wire() -> None:
    assert set(DTYPES) == set(get_args(DType))
    assert set(DTYPES.values()) == set(common_pb2.DType.values()) - {common_pb2.DTYPE_UNSPECIFIED}


@given(_VECTORS)
def test_float32_is_exact(vectors: np.ndarray) -> None:
    rows, floats = _decoded(vectors, "float32")
    np.testing.assert_array_equal(rows, vectors)
    np.testing.assert_array_equal(floats, vectors)


@given(_VECTORS)
def test_float16_is_rounded(vectors: np.ndarray) -> None:
    rows, floats = _decoded(vectors, "float16")
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, vectors.astype(np.float16))
    np.testing.assert_allclose(floats, vectors, rtol=2**-11, atol=2**-24)


@given(_VECTORS, st.sampled_from(["int8", "uint8"]))
def test_integers_keep_the_direction(vectors: np.ndarray, word: str) -> None:
    rows, floats = _decoded(vectors, word)
    assert rows.dtype == np.dtype(word)
    assert rows.shape == vectors.shape
    for row, original in zip(floats, vectors, strict=True):
        largest = np.abs(original).max()
        if largest == 0:
            assert not row.any()
            continue
        # A step is 1/127 of the largest component; undo the change of length before comparing.
        scaled = row * (largest / np.abs(row).max())
        np.testing.assert_allclose(scaled, original, atol=largest * (0.5 / 127 + 1e-5))
        np.testing.assert_allclose(np.linalg.norm(row), 1, rtol=1e-5)


@given(_VECTORS)
def test_binary_keeps_signs(vectors: np.ndarray) -> None:
    rows, floats = _decoded(vectors, "binary")
    assert rows.shape == (len(vectors), -(-vectors.shape[1] // 8))
    np.testing.assert_array_equal(floats > 0, vectors > 0)
    np.testing.assert_allclose(np.linalg.norm(floats, axis=1), 1, rtol=1e-5)


@given(st.binary(max_size=40), st.integers(0, 9), st.sampled_from(sorted(DTYPES.values())))
def test_a_block_that_is_no_whole_number_of_rows_is_refused(data: bytes, dimensions: int, dtype: int) -> None:
    message = common_pb2.Vectors(dtype=dtype, dimensions=dimensions, data=data)
    columns = -(-dimensions // 8) if dtype == common_pb2.DTYPE_BINARY else dimensions
    size = {common_pb2.DTYPE_FLOAT32: 4, common_pb2.DTYPE_FLOAT16: 2}.get(dtype, 1)
    if columns == 0 or len(data) % (columns * size):
        with pytest.raises(Internal):
            decoded(message)
    else:
        assert decoded(message).shape == (len(data) // (columns * size), columns)
