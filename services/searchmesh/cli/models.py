"""``searchmesh models list`` and ``show``: what the catalog knows, and what is exported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from searchmesh.cli.output import JsonOption, print_fields, print_json, print_table

if TYPE_CHECKING:
    from searchmesh.catalog import Card, ExportedModel, ModelRepository

RepositoryOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of exported models.", show_default="$SEARCHMESH_HOME/repository"),
]


def list_models(repository: RepositoryOption = None, json: JsonOption = False) -> None:
    """Show every model and whether it is exported here.

    With its kind, its largest number of dimensions, its longest input in tokens and its licence.
    """
    from searchmesh.catalog import load_catalog

    exported = _exported(repository)
    cards = load_catalog() | {name: model.card for name, model in exported.items()}
    if json:
        print_json([_summary(card, exported.get(name)) for name, card in cards.items()])
        return
    print_table(
        ("name", "kind", "dims", "limit", "licence", "here"),
        [
            (
                card.name,
                card.kind.replace("_", " "),
                str((card.dimensions or _token_dimensions(card) or ("-",))[-1]),
                _tokens(card.max_tokens),
                card.licence,
                exported[name].precision if name in exported else "-",
            )
            for name, card in cards.items()
        ],
        right=("dims", "limit"),
    )


def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    repository: RepositoryOption = None,
    json: JsonOption = False,
) -> None:
    """Show all that is known of one model."""
    from searchmesh.catalog import load_card

    exported = _exported(repository).get(name)
    card = exported.card if exported else load_card(name)
    if json:
        details = card.model_dump(mode="json", exclude_none=True)
        print_json(details | {"exported": exported.export.model_dump(mode="json") if exported else None})
        return
    print_fields(_details(card) | (_export_details(exported) if exported else {"exported": "no"}))


def _repository(folder: Path | None) -> ModelRepository:
    from searchmesh.catalog import ModelRepository
    from searchmesh.local import MeshSettings

    return ModelRepository(folder or MeshSettings().folder.repository)


def _exported(folder: Path | None) -> dict[str, ExportedModel]:
    return {model.name: model for model in _repository(folder).all()}


def _token_dimensions(card: Card) -> tuple[int, ...]:
    return card.multi_vector.dimensions if card.multi_vector else ()


def _tokens(number: int) -> str:
    return f"{number // 1024}k" if number % 1024 == 0 else str(number)


def _summary(card: Card, exported: ExportedModel | None) -> dict[str, Any]:
    return {
        "name": card.name,
        "kind": card.kind,
        "modalities": card.modalities,
        "dimensions": card.dimensions,
        "multi_vector_dimensions": _token_dimensions(card),
        "max_tokens": card.max_tokens,
        "tasks": list(card.tasks),
        "licence": card.licence,
        "params": card.params,
        "exported": {"precision": exported.precision, "flavour": exported.flavour} if exported else None,
    }


def _details(card: Card) -> dict[str, str]:
    source = card.source.model_dump()
    return {
        "name": card.name,
        "kind": card.kind,
        "modalities": ", ".join(card.modalities),
        "parameters": f"{card.params:,}" if card.params else "",
        "licence": card.licence,
        "source": source.get("hf_repo") or source.get("wheel") or "",
        "dimensions": ", ".join(map(str, card.dimensions)),
        "token vectors": ", ".join(map(str, _token_dimensions(card))),
        "longest input": f"{card.max_tokens:,} tokens",
        "tasks": ", ".join(card.tasks),
        "default task": card.default_task or "",
        "reranks by": card.score.kind.replace("_", " ") if card.score else "",
    }


def _export_details(model: ExportedModel) -> dict[str, str]:
    parity = model.export.parity
    return {
        "exported": str(model.path),
        "precision": model.precision,
        "flavour": model.flavour,
        "cosine error": f"{parity.cosine_error:.2e} against the source model (tolerance {parity.cosine_tolerance:.0e})",
    }
