"""Activation functions by their names in config.json."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional

from searchmesh_export.checkpoint import Checkpoint

Activation = Callable[[Tensor], Tensor]


def quick_gelu(states: Tensor) -> Tensor:
    """x · sigmoid(1.702 x)."""
    return states * (states * 1.702).sigmoid()


_ACTIVATIONS: dict[str, Activation] = {
    "gelu": functional.gelu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


def activation(checkpoint: Checkpoint, name: str) -> Activation:
    """The function of this name. Raises InvalidArgument, naming config.json, if there is none."""
    if name not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise checkpoint.wrong("config.json", f"has the activation {name!r}; there are {known}")
    return _ACTIVATIONS[name]
