"""``searchmesh collections create``, ``list`` and ``delete``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from searchmesh.cli.connection import TimeoutOption, connected
from searchmesh.cli.output import JsonOption, counted, note, print_json, print_table
from searchmesh.cli.spaces import parse_filter_fields, parse_multi_vectors, parse_space

if TYPE_CHECKING:
    from searchmesh.client import Collection

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")]


def create_collection(
    name: NameArgument,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL[:N]",
            help="A vector space: text, code or image, the model that embeds it, and a size of it. May be repeated.",
            show_default="text",
        ),
    ] = None,
    multi_vectors: Annotated[
        str,
        typer.Option(
            metavar="MODEL[:N][:TYPE]",
            help="Store token vectors for reranking by this model, as int8 or binary.",
            show_default=False,
        ),
    ] = "",
    reranker: Annotated[
        str, typer.Option(metavar="MODEL", help="Reranking model of its searches.", show_default="none")
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="WORD", help="Language of stemming and stop words.", show_default="english")
    ] = "",
    filter_field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:TYPE", help="A metadata field for --filter, of the type tag or number."),
    ] = None,
    timeout: TimeoutOption = 60.0,
    json: JsonOption = False,
) -> None:
    """Make an empty collection.

    Texts are embedded in the spaces text and code, images in the space image. A search goes to the spaces that its
    query can reach and suits; --explain shows to which.
    """
    with connected(timeout) as client:
        collection = client.create_collection(
            name,
            spaces=[parse_space(text) for text in space or []],
            multi_vectors=parse_multi_vectors(multi_vectors) if multi_vectors else None,
            reranker=reranker,
            language=language,
            # Documents of files have it; see `searchmesh index`.
            filter_fields={"path": "tag"} | parse_filter_fields(filter_field or []),
        )
    if json:
        print_json(collection)
    else:
        note(f"created {name}: {_models(collection)}")


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
        ("name", "documents", "vectors", "reranker", "language", "filter fields"),
        [
            (
                collection.name,
                f"{collection.document_count:,}",
                _models(collection),
                collection.reranker or "-",
                collection.language,
                " ".join(f"{name}:{kind}" for name, kind in collection.filter_fields.items()),
            )
            for collection in collections
        ],
        right=("documents",),
    )


def delete_collection(
    name: NameArgument,
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


def _models(collection: Collection) -> str:
    """What it is embedded with, such as ``text=MODEL:384 image=MODEL:512 tokens=MODEL:128:int8``."""
    parts = [f"{space.name}={space.embedder}:{space.dimensions}" for space in collection.spaces]
    if (multi := collection.multi_vectors) is not None:
        parts.append(f"tokens={multi.embedder}:{multi.dimensions}:{multi.dtype}")
    return " ".join(parts)
