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
import math
import time
from collections import deque
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
from .post import Post
from .stream import End, Stream

_LOOK_S = 0.05
"""Between two looks for the client of a request: with one a step, eight texts took a twentieth of the time. Who gives a
text up by a request of its own does not wait for it."""


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
        self._post = Post()
        self._streams: WeakValueDictionary[str, Stream] = WeakValueDictionary()
        """By the id of their request."""

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            reply = _Reply(request.get_response_sender(), self._post)
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
        self._post.close()


class _Reply:
    """`Reply` over Triton's response sender, which makes who calls it wait for Triton: the post calls it."""

    def __init__(self, sender: Any, post: Post) -> None:
        self._sender = sender
        self._post = post
        self._unsent: deque[tuple[Sequence[int], dict[str, Any] | None]] = deque()
        self._cancelled = self._ended = False
        self._looked = -math.inf

    def send(self, tokens: Sequence[int], end: End | None) -> None:
        self._put(tokens, None if end is None else asdict(end))

    def fail(self, problem: Problem) -> None:
        # An error of Triton's would come without its status.
        self._put((), {"error": problem.kind.value, "message": str(problem)})

    def finish(self) -> None:
        """Nothing is to be said."""
        self._post.put(lambda: self._sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL))

    def cancelled(self) -> bool:
        """As far as is known; soon more is."""
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            self._post.put(self._look)
        return self._cancelled

    def _look(self) -> None:
        # Triton is not to be asked about a request that has ended.
        if not self._ended:
            self._cancelled = self._sender.is_cancelled()

    def _put(self, tokens: Sequence[int], end: dict[str, Any] | None) -> None:
        self._unsent.append((tokens, end))
        self._post.put(self._send)

    def _send(self) -> None:
        """All that has come since the last time, in one response."""
        tokens: list[int] = []
        end = None
        while self._unsent:
            new, end = self._unsent.popleft()
            tokens += new
        outputs = [pb_utils.Tensor("token_ids", np.array(tokens, np.int64))]
        if end is not None:
            self._ended = True
            response = pb_utils.InferenceResponse([*outputs, _json("end", end)])
            self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        elif tokens:
            self._sender.send(pb_utils.InferenceResponse(outputs))


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
