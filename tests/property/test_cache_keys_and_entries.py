"""What must always hold of cache keys, entries and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from searchmesh.cache import Entry, KeySpace
from searchmesh.embedding.dtypes import packed, sliced
from searchmesh.v1 import common_pb2

parts = st.fixed_dictionaries(
    {name: st.text(max_size=8) for name in ("model_digest", "tokenizer_digest", "task", "output", "truncation")}
)
unit_vectors = (
    hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 70)), elements=st.floats(-1, 1, width=32))
    .filter(lambda v: bool((np.linalg.norm(v, axis=1) > 1e-3).all()))
    .map(lambda v: (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32))
)


@given(parts, parts, st.binary(max_size=20), st.binary(max_size=20))
def test_keys_differ_exactly_when_something_that_changes_a_vector_does(
    first: dict[str, str], second: dict[str, str], one: bytes, other: bytes
) -> None:
    same = KeySpace(**first).key(one) == KeySpace(**second).key(other)
    assert same == (first == second and one == other)


@given(unit_vectors, st.integers(0, 2**32 - 1), st.booleans())
def test_entries_come_back_as_they_were(vectors: np.ndarray, tokens: int, truncated: bool) -> None:
    entry = Entry.from_bytes(Entry(vectors, tokens, truncated).to_bytes())
    assert entry is not None
    assert np.array_equal(entry.vectors, vectors)
    assert (entry.tokens, entry.truncated) == (tokens, truncated)


@given(unit_vectors, st.data())
def test_a_damaged_entry_is_no_entry(vectors: np.ndarray, data: st.DataObject) -> None:
    value = bytearray(Entry(vectors, 3, False).to_bytes())
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    assert Entry.from_bytes(bytes(value)) is None
    assert Entry.from_bytes(bytes(value[:at])) is None


@given(unit_vectors, st.data())
def test_slices_have_unit_length(vectors: np.ndarray, data: st.DataObject) -> None:
    dimensions = data.draw(st.integers(1, vectors.shape[1]))
    cut = sliced(vectors, dimensions)
    assert cut.shape == (len(vectors), dimensions)
    nonzero = np.linalg.norm(vectors[:, :dimensions], axis=1) > 1e-6
    assert np.allclose(np.linalg.norm(cut[nonzero], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", [d for d in common_pb2.DType.values() if d])
@given(unit_vectors)
def test_packed_rows_have_the_size_that_the_wire_contract_says(dtype: int, vectors: np.ndarray) -> None:
    dimensions = vectors.shape[1]
    row_bytes = {
        common_pb2.DTYPE_FLOAT32: 4 * dimensions,
        common_pb2.DTYPE_FLOAT16: 2 * dimensions,
        common_pb2.DTYPE_INT8: dimensions,
        common_pb2.DTYPE_UINT8: dimensions,
        common_pb2.DTYPE_BINARY: (dimensions + 7) // 8,
    }[dtype]
    assert len(packed(vectors, dtype)) == row_bytes * len(vectors)


@given(unit_vectors)
def test_int8_keeps_directions(vectors: np.ndarray) -> None:
    back = np.frombuffer(packed(vectors, common_pb2.DTYPE_INT8), np.int8).reshape(vectors.shape).astype(np.float32)
    cosines = (back * vectors).sum(axis=1) / np.linalg.norm(back, axis=1)
    assert (cosines > 0.999).all()
    shifted = np.frombuffer(packed(vectors, common_pb2.DTYPE_UINT8), np.uint8).reshape(vectors.shape).astype(np.int16)
    assert np.array_equal(shifted - 128, back.astype(np.int16))


@given(unit_vectors)
def test_binary_is_the_sign_most_significant_bit_first(vectors: np.ndarray) -> None:
    data = np.frombuffer(packed(vectors, common_pb2.DTYPE_BINARY), np.uint8).reshape(len(vectors), -1)
    bits = np.unpackbits(data, axis=1, count=vectors.shape[1])
    assert np.array_equal(bits.astype(bool), vectors > 0)
