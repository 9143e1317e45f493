"""``searchmesh collections list`` and ``delete``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from searchmesh.cli.connection import connected
from searchmesh.cli.output import JsonOption, counted, note, print_json, print_table


def list_collections(json: JsonOption = False) -> None:
    """Show all collections."""
    with connected() as client:
        collections = client.list_collections()
    if json:
        print_json(collections)
        return
    if not collections:
        note("there is no collection yet; make one with: searchmesh index PATH --collection NAME")
        return
    print_table(
        ("name", "documents", "embedder", "reranker", "language", "filter fields"),
        [
            (
                collection.name,
                f"{collection.document_count:,}",
                " ".join(space.embedder for space in collection.spaces),
                collection.reranker or "-",
                collection.language,
                " ".join(f"{name}:{kind}" for name, kind in collection.filter_fields.items()),
            )
            for collection in collections
        ],
        right=("documents",),
    )


def delete_collection(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a collection with all its documents."""
    with connected() as client:
        count = client.get_collection(name).document_count
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {name} with {counted(count, 'document')}?", abort=True)
        deleted = client.delete_collection(name)
    if json:
        print_json({"collection": name, "deleted_documents": deleted})
    else:
        note(f"deleted {name} with {counted(deleted, 'document')}")
