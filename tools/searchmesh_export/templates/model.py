"""Runs 1/model.onnx on ONNX Runtime inside Triton's Python backend.

Self-contained: Triton starts it with nothing of its exporter at hand. Parameters of config.pbtxt:
``intra_op_threads`` (threads of one inference) and ``allow_spinning`` (0: idle threads sleep, and leave their core to
the other instances).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance: a process with a session of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_threads"])
        options.add_session_config_entry("session.intra_op.allow_spinning", parameters["allow_spinning"])
        # A memory plan would be kept for every shape ever seen.
        options.enable_mem_pattern = False
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        """One response; what is wrong with a request stays its own."""
        if request.is_cancelled():
            return _failure("the request was cancelled", pb_utils.TritonError.CANCELLED)
        try:
            inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            names = request.requested_output_names()
            outputs = self._session.run(names, inputs)
        except Exception as error:
            return _failure(str(error), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in zip(names, outputs, strict=True)])


def _failure(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
