"""What each model is. One YAML card a model is shipped in ``cards/``; an exported model carries its resolved card."""

from __future__ import annotations

from searchmesh.catalog.card import Card, Kind
from searchmesh.catalog.repository import Export, ExportedModel, Flavour, ModelRepository, Parity, Precision
from searchmesh.catalog.sections import (
    Adapters,
    HubSource,
    Image,
    MultiVector,
    Score,
    Task,
    TokenVectorRules,
    WheelSource,
)
from searchmesh.catalog.shipped import load_card, load_catalog

__all__ = [
    "Adapters",
    "Card",
    "Export",
    "ExportedModel",
    "Flavour",
    "HubSource",
    "Image",
    "Kind",
    "ModelRepository",
    "MultiVector",
    "Parity",
    "Precision",
    "Score",
    "Task",
    "TokenVectorRules",
    "WheelSource",
    "load_card",
    "load_catalog",
]
