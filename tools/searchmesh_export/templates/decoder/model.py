"""Writes texts with 1/model.onnx inside Triton's Python backend: a decoupled model that streams tokens.

Self-contained: Triton starts it with the files beside it and nothing else of its exporter. A request has ``input_ids``
INT64 [length] and ``options`` UINT8 [bytes], a JSON object (`Options`); a model that reads images may get
``image_features`` FP32 [features, width] and ``image_index`` INT64 [length] (`Pictures`). A response has ``token_ids``
INT64 [new]; the last one has ``end`` UINT8 [bytes], a JSON object: `End`, or ``error`` (a `Kind`) and ``message``. A
request without inputs ends the one with the same id, whose client wants no more of it.

onnxruntime-genai, which builds the graph, could also run it. Its Engine takes requests into a running batch only on
PagedAttention, which has no CPU kernel: elsewhere a request waits until the whole batch before it has ended, stop
strings, seeds and drafts are refused, and prompts are token ids alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import triton_python_backend_utils as pb_utils

from .graph import Graph
from .guidance import Guides
from .loop import Limits, Loop
from .options import Kind, Options, Problem, invalid
from .pictures import Pictures
from .stream import End, Stream


class TritonPythonModel:
    """One instance: a process with a graph, a cache and a loop."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        limits = Limits(**{field.name: int(parameters[field.name]) for field in fields(Limits)})
        folder = Path(args["model_repository"])
        graph = Graph(
            folder / args["model_version"] / "model.onnx",
            slots=limits.slots,
            room=limits.session_tokens,
            threads=int(parameters["intra_op_threads"]),
            spinning=parameters["allow_spinning"] != "0",
            device=parameters["device"],
        )
        self._ends = frozenset(map(int, parameters["end_ids"].split(",")))
        self._vocabulary = int(parameters["vocabulary"])
        self._guides = Guides(folder / "tokenizer.json", self._vocabulary, self._ends)
        self._width = graph.added_width
        self._loop = Loop(graph, limits)
        self._streams: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        """By the id of their request."""

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            reply = _Reply(request.get_response_sender())
            if not request.inputs():
                if (given_up := self._streams.get(request.request_id())) is not None:
                    given_up.cancel()
                reply.finish()
                continue
            try:
                stream = self._stream(request, reply)
                self._streams[request.request_id()] = stream
                self._loop.submit(stream)
            except Problem as problem:
                reply.fail(problem)
            except Exception as error:
                reply.fail(Problem(Kind.FAILED, f"{type(error).__name__}: {error}"))

    def _stream(self, request: Any, reply: _Reply) -> Stream:
        options = Options.parse(_input(request, "options").tobytes())
        ids = _input(request, "input_ids").tolist()
        if not ids or min(ids) < 0 or max(ids) >= self._vocabulary:
            raise invalid("input_ids", f"have to be one or more tokens below {self._vocabulary}")
        pictures = _pictures(request, len(ids), self._width)
        return Stream(ids, options, self._guides.of(options), reply, self._ends, pictures)

    def finalize(self) -> None:
        self._loop.close()


class _Reply:
    """`Reply` over Triton's response sender."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def send(self, tokens: Sequence[int], end: End | None) -> None:
        outputs = [pb_utils.Tensor("token_ids", np.array(tokens, np.int64))]
        if end is None:
            self._sender.send(pb_utils.InferenceResponse(outputs))
        else:
            self._last([*outputs, _json("end", asdict(end))])

    def fail(self, problem: Problem) -> None:
        # An error of Triton's would come without its status.
        self._last([_json("end", {"error": problem.kind.value, "message": str(problem)})])

    def finish(self) -> None:
        self._sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _last(self, outputs: Sequence[Any]) -> None:
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        self._sender.send(pb_utils.InferenceResponse(outputs), flags=flags)

    def cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())


def _pictures(request: Any, length: int, width: int) -> Pictures | None:
    """Raises Problem for features that do not fit the prompt or the model."""
    features, index = (pb_utils.get_input_tensor_by_name(request, name) for name in ("image_features", "image_index"))
    if features is None or index is None:
        return None
    return Pictures.checked(features.as_numpy(), index.as_numpy(), length, width)


def _json(name: str, value: dict[str, Any]) -> Any:
    return pb_utils.Tensor(name, np.frombuffer(json.dumps(value).encode(), np.uint8))


def _input(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        raise invalid(name, "is missing")
    return tensor.as_numpy().reshape(-1)
