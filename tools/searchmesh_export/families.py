"""Which code reads which checkpoint."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from searchmesh.catalog import Card
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export.built import Built
from searchmesh_export.checkpoint import Checkpoint


class Build(Protocol):
    """``build`` of a family's module."""

    def __call__(self, checkpoint: Checkpoint, card: Card) -> Built:
        """Read the checkpoint, which has the architecture of the card.

        Raises InvalidArgument that names the file and the keys for anything that is missing, unknown or misshapen, and
        Unimplemented for a card whose head or kind the family does not have.
        """
        ...


_MODULES = {
    "bert": "bert",
    "xlm_roberta": "xlm_roberta",
    "xlm_roberta_rope": "xlm_roberta",
    "qwen2": "qwen",
    "qwen3": "qwen",
    "qwen2_vl": "qwen_vl",
    "qwen2_5_vl": "qwen_vl",
}
"""Modules of this package by the family that a card gives its text tower (``checkpoint.text.family``)."""


def family(card: Card) -> Build:
    """What builds models like this one. Raises Unimplemented where nothing does."""
    name = card.checkpoint.text.family
    if card.kind == "generation" or name not in _MODULES:
        raise Unimplemented(
            f"{card.name} is a {card.kind} model of the family {name};"
            f" encoders of the families {', '.join(_MODULES)} can be exported"
        )
    return cast(Build, import_module(f"{__package__}.{_MODULES[name]}").build)
