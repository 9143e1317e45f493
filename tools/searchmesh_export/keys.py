"""The published tensors of a checkpoint in the place of a module's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from searchmesh.runtime.errors import Internal
from searchmesh_export.weights import Weights

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Made:
    """A tensor made of published ones: ``make(*(tensor of each name))``.

    `make` is also called with tensors on the meta device, to know its shape before anything is read.
    """

    make: Callable[..., Tensor]
    names: tuple[str, ...]


Source = str | Made
"""Where a tensor comes from: the name of a published one, or several and what is made of them."""


def load(build: Callable[[], Module], weights: Weights, source: Callable[[str], Source]) -> Module:
    """What `build` gives, in eval mode, with the published weights as float32.

    `source` tells for each own name (of ``state_dict()``) where the tensor comes from. Every published tensor must be
    needed: drop those that are known to be of no use with `Weights.renamed`. Raises InvalidArgument naming the
    published keys that are missing, unknown or misshapen, before any of them is read.

    The module is built on the meta device, so it takes memory for its weights once; it must have no buffers.
    """
    with torch.device("meta"):
        module = build()
    if buffers := [name for name, _ in module.named_buffers()]:
        raise Internal(f"the buffers {listed(buffers)} have no published weights")
    own = module.state_dict()
    sources = {name: made(source(name)) for name in own}
    _check(weights, {name: (made, own[name].shape) for name, made in sources.items()})
    # Contiguous: a slice would keep the whole of what it was cut from in memory.
    tensors = {
        name: made.make(*(weights.read(key) for key in made.names)).contiguous() for name, made in sources.items()
    }
    module.load_state_dict(tensors, assign=True)
    module.eval()
    return module


def made(source: Source) -> Made:
    """The same in its general form."""
    return Made(lambda tensor: tensor, (source,)) if isinstance(source, str) else source


def _check(weights: Weights, wanted: dict[str, tuple[Made, torch.Size]]) -> None:
    needed = dict.fromkeys(key for made, _ in wanted.values() for key in made.names)
    if missing := [key for key in needed if key not in weights]:
        raise weights.wrong(f"lacks {listed(missing)}")
    if unknown := [weights.published(key) for key in weights if key not in needed]:
        raise weights.wrong(f"has unknown {listed(unknown)}")
    if misshapen := [problem for made, shape in wanted.values() if (problem := _misshapen(weights, made, shape))]:
        raise weights.wrong(f"has misshapen {listed(list(dict.fromkeys(misshapen)))}")


def _misshapen(weights: Weights, made: Made, shape: torch.Size) -> str | None:
    shapes = [weights.shape(key) for key in made.names]
    try:
        result: torch.Size | None = made.make(*(torch.empty(each, device="meta") for each in shapes)).shape
    except (RuntimeError, ValueError, IndexError):
        result = None  # of shapes that do not fit together
    if result == shape:
        return None
    found = ", ".join(f"{weights.published(key)} {list(each)}" for key, each in zip(made.names, shapes, strict=True))
    if len(made.names) == 1 and len(shapes[0]) == len(shape) and result == shapes[0]:
        return f"{found} instead of {list(shape)}"
    return f"{found} for {list(shape)}"


def listed(names: Sequence[str]) -> str:
    """The first five, and how many more."""
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")
