"""The decoder's graph with its cache.

Inputs beside the past and present keys and values, which are the same memory: ``input_ids`` INT64 [rows, length],
``last_positions`` INT32 [rows] (of the last token of each row in its text), ``longest`` INT32 [1] (tokens of the
longest text, with these) and ``skipped`` INT64 [1] (tokens, from the left, whose logits nobody needs). Output:
``logits`` [rows, length - skipped, vocabulary]. The graph of a model that reads images also has ``added`` FP32
[rows, length, width]: what images add to the vectors of the tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .cache import Buffer, buffer

_NUMBERS: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_PAST, _PRESENT = "past_key_values.", "present."


class Graph:
    """Reads tokens into rows of the cache and tells what may come next. For one thread at a time."""

    def __init__(
        self, file: Path, *, slots: int, room: int, threads: int = 0, spinning: bool = False, device: str = "cpu"
    ) -> None:
        """`slots` rows with `room` tokens each; `threads` of one step, 0 for one a core."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        # A memory plan would be kept for every shape ever seen.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(str(file), options, providers=[_PROVIDERS[device]])
        self._device = device
        self._slots = slots
        self._room = room
        self._past: dict[str, tuple[Buffer, tuple[int, ...], np.dtype[Any]]] = {}
        for tensor in self._session.get_inputs():
            if tensor.name.startswith(_PAST):
                heads, width = tensor.shape[1], tensor.shape[3]
                kind = _NUMBERS[tensor.type]
                rows = buffer(slots, heads * room * width * kind.itemsize, device)
                self._past[tensor.name] = rows, (heads, room, width), kind
        self.added_width: int = next((each.shape[2] for each in self._session.get_inputs() if each.name == "added"), 0)
        """Of what images add to the vectors of tokens; 0 for a model that reads none."""
        (logits,) = (tensor for tensor in self._session.get_outputs() if tensor.name == "logits")
        self.vocabulary: int = logits.shape[-1]
        self._logits = _NUMBERS[logits.type]
        self._bindings: dict[tuple[int, int], Any] = {}

    def run(
        self,
        first: int,
        tokens: NDArray[np.int64],
        cached: NDArray[np.int64],
        *,
        skip: int = 0,
        added: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Logits, [rows, length - skip, vocabulary], of tokens [rows, length] that follow the `cached` [rows] ones of
        the rows from `first` on.

        All rows are written to, so those that are not meant need room for `length` tokens behind their own; what is
        written there counts for nothing, as long as the caller says so by `cached`. Several rows take one token each.
        """
        rows, length = tokens.shape
        texts = cached + length
        if texts.max() > self._room:
            raise ValueError(f"{texts.max()} tokens have no room in rows of {self._room}")
        binding = self._binding(first, rows)
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(tokens))
        binding.bind_cpu_input("last_positions", (texts - 1).astype(np.int32))
        binding.bind_cpu_input("longest", np.array([texts.max()], np.int32))
        binding.bind_cpu_input("skipped", np.array([skip], np.int64))
        if self.added_width:
            nothing = np.zeros((rows, length, self.added_width), np.float32) if added is None else added
            binding.bind_cpu_input("added", np.ascontiguousarray(nothing))
        logits = np.empty((rows, length - skip, self.vocabulary), self._logits)
        binding.bind_output("logits", "cpu", 0, self._logits, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        return np.asarray(logits, np.float32)

    def release(self, row: int) -> None:
        """Forget what a row holds."""
        for rows, _, _ in self._past.values():
            rows.release(row)

    def _binding(self, first: int, rows: int) -> Any:
        """Past and present of these rows, bound once: a step has no time for a hundred tensors."""
        key = first, rows
        if key not in self._bindings:
            binding = self._bindings[key] = self._session.io_binding()
            for name, (cache, shape, kind) in self._past.items():
                place = (self._device, 0, kind.type, (rows, *shape), cache.address(first))
                binding.bind_input(name, *place)
                binding.bind_output(name.replace(_PAST, _PRESENT), *place)
        return self._bindings[key]
