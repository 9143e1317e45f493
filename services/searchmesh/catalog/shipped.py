"""The cards that are part of the package."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources

import yaml

from searchmesh.catalog.card import Card
from searchmesh.runtime.errors import NotFound


def load_catalog() -> dict[str, Card]:
    """All shipped cards by name, in alphabetical order."""
    return dict(_shipped())


def load_card(name: str) -> Card:
    """The shipped card of `name`. Raises NotFound, with names that come close."""
    try:
        return _shipped()[name]
    except KeyError:
        raise unknown_model(name, _shipped()) from None


def unknown_model(name: str, known: Iterable[str]) -> NotFound:
    """The error for a model name that nothing knows. It lists near names, or all where none is near."""
    by_folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    if near:
        return NotFound(f"no model is named {name!r}; did you mean {', '.join(by_folded[key] for key in near)}?")
    return NotFound(f"no model is named {name!r}; there are {', '.join(sorted(by_folded.values()))}")


@cache
def _shipped() -> dict[str, Card]:
    cards = {}
    folder = resources.files(__package__) / "cards"
    for file in sorted(folder.iterdir(), key=lambda file: file.name.casefold()):
        if file.name.endswith(".yaml"):
            card = Card.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
            if file.name != f"{card.name}.yaml":
                raise ValueError(f"{file.name} holds the card of {card.name}")
            cards[card.name] = card
    return cards
