"""What a family makes of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from searchmesh.catalog import Card
from searchmesh_export.tensors import INPUTS, OUTPUTS, Sizes, Tensor, in_order


@dataclass(frozen=True)
class Graph:
    """One graph to be: a module that takes `inputs`, by position in this order, and returns the tuple of `outputs`.

    The module is in eval mode and in float32. After ``.half()`` its weights are float16 and it must compute in that,
    but take and return float32 as before. A row's outputs depend neither on its padding nor on other rows, and a row
    that is all padding gives finite numbers. It has no buffers: what is not a weight is computed in `forward`, where
    the exporter folds it into a constant.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: Sizes
    suffix: str = ""
    """Added to the model's name: `catalog.repository.VISION` for the graph of images."""

    def __post_init__(self) -> None:
        in_order(self.inputs, INPUTS)
        in_order(self.outputs, OUTPUTS)

    @property
    def takes(self) -> tuple[Tensor, ...]:
        """The inputs with dtype and shape."""
        return in_order(self.inputs, INPUTS)

    @property
    def gives(self) -> tuple[Tensor, ...]:
        """The outputs with dtype and shape."""
        return in_order(self.outputs, OUTPUTS)


@dataclass(frozen=True)
class Built:
    """A checkpoint as its family reads it."""

    card: Card
    """Resolved: with the sizes and limits of the checkpoint, and what the card leaves to its files."""
    hidden_size: int
    """Of the text tower."""
    graphs: tuple[Graph, ...]
    """The text graph, which bears the model's own name, and the vision graph if there is one."""

    @property
    def text(self) -> Graph:
        """The graph that is the model itself."""
        return self.graphs[0]
