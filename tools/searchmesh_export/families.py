"""Which code reads which checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from searchmesh.catalog import Card
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import bert, qwen, qwen_vl, xlm_roberta
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


_FAMILIES: Mapping[str, Build] = {
    "bert": bert.build,
    "xlm_roberta": xlm_roberta.build,
    "xlm_roberta_rope": xlm_roberta.build,
    "qwen2": qwen.build,
    "qwen3": qwen.build,
    "qwen2_vl": qwen_vl.build,
    "qwen2_5_vl": qwen_vl.build,
}
"""By the family that a card gives its text tower (``checkpoint.text.family``)."""


def family(card: Card) -> Build:
    """What builds models like this one. Raises Unimplemented where nothing does."""
    name = card.checkpoint.text.family
    if card.kind == "generation" or name not in _FAMILIES:
        raise Unimplemented(
            f"{card.name} is of the kind {card.kind} and the family {name};"
            f" encoders of the families {', '.join(_FAMILIES)} can be exported"
        )
    return _FAMILIES[name]
