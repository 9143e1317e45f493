"""The ``searchmesh`` command: every subcommand and where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from searchmesh.cli import asking, collections, extensions, indexing, inference, mesh, models, reading, search
from searchmesh.cli.failures import Commands
from searchmesh.cli.output import flowed

_MESH, _SEARCH, _MODELS, _MEASURE = "Mesh", "Search", "Models", "Measure"

_ENVIRONMENT = """
[bold]Environment[/bold]
  SEARCHMESH_HOME               folder of models, data and logs
                                (default ~/.local/share/searchmesh)
  SEARCHMESH_ROUTER_TARGET      a mesh that runs elsewhere, host:port;
  SEARCHMESH_EMBEDDING_TARGET   default: the one on this machine
  SEARCHMESH_RERANKER_TARGET
  SEARCHMESH_READER_TARGET
  SEARCHMESH_VLM_TARGET
  SEARCHMESH_DEBUG=1            show tracebacks"""


def _examples(*lines: str) -> str | None:
    return "\n".join(["[bold]Examples[/bold]", *(f"[dim]$[/dim] {escape(line)}" for line in lines)]) if lines else None


def _group(help: str, *, root: bool = False, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        cls=Commands if root else None,
        help=help,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=root,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _add(group: typer.Typer, name: str, command: Callable[..., Any], *lines: str, panel: str | None = None) -> None:
    """Add a command with example lines at the end of its help."""
    group.command(name, help=flowed(command.__doc__), epilog=_examples(*lines), rich_help_panel=panel)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from searchmesh import __version__

        typer.echo(__version__)
        raise typer.Exit


app = _group(
    "Search your own text: embedding, reranking and hybrid search, served on this machine or elsewhere.",
    root=True,
    epilog=f"""{
        _examples(
            "searchmesh models export all-MiniLM-L6-v2",
            "searchmesh up --detach",
            "searchmesh index docs/ --collection docs",
            'searchmesh search "how do I compress a file" --collection docs',
            "searchmesh down",
        )
    }\n{_ENVIRONMENT}""",
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


_add(app, "up", mesh.up, "searchmesh up", "searchmesh up --detach --port-offset 1000", panel=_MESH)
_add(app, "status", mesh.status, "searchmesh status", "searchmesh status --json", panel=_MESH)
_add(app, "logs", mesh.logs, "searchmesh logs router", "searchmesh logs triton -f -n 0", panel=_MESH)
_add(app, "down", mesh.down, panel=_MESH)

_add(
    app,
    "index",
    indexing.index,
    "searchmesh index README.md docs/ --collection docs",
    "searchmesh index papers.jsonl -c papers --filter-field year:number",
    "searchmesh index pictures/ --collection photos",
    panel=_SEARCH,
)
_add(
    app,
    "search",
    search.search,
    'searchmesh search "how do I compress a file" --collection docs',
    'searchmesh search "heat transfer" -c papers -k 3 --filter "year>=1960"',
    "searchmesh search zip -c docs --mode lexical --no-rerank --json",
    "searchmesh search --image boat.jpg -c photos --explain",
    panel=_SEARCH,
)
_collections = _group("Make, show and delete collections.")
_add(
    _collections,
    "create",
    collections.create_collection,
    "searchmesh collections create docs --reranker all-MiniLM-L6-v2",
    "searchmesh collections create photos --space text --space image=jina-clip-v2",
    "searchmesh collections create papers --multi-vectors jina-colbert-v2:96:binary",
)
_add(_collections, "list", collections.list_collections)
_add(_collections, "delete", collections.delete_collection, "searchmesh collections delete docs --yes")
app.add_typer(_collections, name="collections", rich_help_panel=_SEARCH)

_add(
    app,
    "embed",
    inference.embed,
    'searchmesh embed "a text" "another one"',
    "searchmesh embed - --dtype int8 --json < lines.txt",
    panel=_MODELS,
)
_add(
    app,
    "rerank",
    inference.rerank,
    'searchmesh rerank "fast fish" "a sloth sleeps" "tuna swim at 70 km/h"',
    'searchmesh rerank "fast fish" - --top 3 < lines.txt',
    panel=_MODELS,
)
_add(
    app,
    "read",
    reading.read,
    "searchmesh read page.html --url https://example.com/page",
    "searchmesh read https://example.com/page --target article --images none",
    "searchmesh read paper.pdf --format text",
    "searchmesh read scan.png",
    "searchmesh read page.html --json-schema schema.json",
    panel=_MODELS,
)
_add(
    app,
    "ask",
    asking.ask,
    'searchmesh ask --image boat.jpg "What is the boat called?"',
    "searchmesh ask --image boat.jpg --preset alt_text",
    panel=_MODELS,
)
_models = _group("Show, download and export models. Needs no running mesh.")
_add(_models, "list", models.list_models)
_add(_models, "show", models.show_model, "searchmesh models show jina-embeddings-v3")
extensions.PULL.add_to(_models)
extensions.EXPORT.add_to(_models)
app.add_typer(_models, name="models", rich_help_panel=_MODELS)

extensions.BENCH.add_to(app, _MEASURE)
extensions.EVAL.add_to(app, _MEASURE)


def main() -> None:
    """Entry point."""
    app(prog_name="searchmesh")
