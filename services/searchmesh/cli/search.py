"""``searchmesh search``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from searchmesh.cli.conditions import parse_conditions
from searchmesh.cli.connection import TimeoutOption, connected
from searchmesh.cli.output import JsonOption, console, counted, note, print_json, print_table, problem, stages
from searchmesh.cli.snippets import highlighting, snippet, terms_of

if TYPE_CHECKING:
    from rich.text import Text

    from searchmesh.client import Client, Filter, Hit, Image, SearchResult

Mode = Literal["hybrid", "dense", "lexical"]
FusionMethod = Literal["rrf", "convex"]

_SNIPPET = 300
_INDENT = 5
_STAGES = ("dense.text", "dense.code", "dense.image", "lexical", "fused", "rerank")


def search(
    collection: Annotated[
        list[str], typer.Option("--collection", "-c", metavar="NAME", help="Where to look. May be repeated.")
    ],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What you look for, in your own words.")] = "",
    image: Annotated[
        str,
        typer.Option(metavar="FILE", help="Look for what is like this image, a file or a URL.", show_default=False),
    ] = "",
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Vector space to search. May be repeated.", show_default="those that suit the query"
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(metavar="MODE", help="dense (by meaning), lexical (by words) or hybrid (both).")
    ] = "hybrid",
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="N", help="Number of results.")] = 10,
    offset: Annotated[int, typer.Option(metavar="N", help="Skip this many results.")] = 0,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            metavar="CONDITION",
            help="field=value, field=a,b (either), field!=value; numbers also >=, >, <=, <. Repeated: all must hold.",
        ),
    ] = None,
    rerank: Annotated[
        bool | None,
        typer.Option(
            "--rerank/--no-rerank",
            help="Let a model read the best candidates.",
            show_default="rerank, for an image if the collection has a reranker",
        ),
    ] = None,
    rerank_depth: Annotated[
        int, typer.Option(metavar="N", help="Candidates that the model reads.", show_default="50")
    ] = 0,
    reranker: Annotated[
        str, typer.Option(metavar="MODEL", help="Reranking model.", show_default="the collection's")
    ] = "",
    fusion: Annotated[
        FusionMethod, typer.Option(metavar="METHOD", help="How both rankings become one: convex or rrf.")
    ] = "convex",
    dense_weight: Annotated[
        float | None,
        typer.Option(metavar="0..1", help="Weight of meaning; words get the rest.", show_default="0.5"),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which vector spaces were searched, and why.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Print whole passages instead of the part that fits.")] = False,
    timeout: TimeoutOption = 30.0,
    json: JsonOption = False,
) -> None:
    """Search collections and print ranked passages.

    Each with its scores; below them the time that each stage took and what was degraded.
    """
    from searchmesh.client import Fusion, RerankOptions

    asked = _asked(query, image)
    with connected(timeout) as client:
        result = client.search(
            collection,
            asked,
            mode=mode,
            top_k=top_k,
            offset=offset,
            filter=_filter(client, collection, filter or []),
            fusion=Fusion(fusion, dense_weight=dense_weight),
            rerank=RerankOptions(
                # Few models read an image as the query.
                enabled=True if rerank is None and not image else rerank,
                model=reranker,
                depth=rerank_depth,
            ),
            spaces=space or [],
        )
    if json:
        print_json(_as_data(result))
        return
    _print_hits(result, query, offset, full=full, several=len(collection) > 1)
    for stage in result.degraded:
        problem(f"degraded: {stage.stage}: {stage.message or stage.reason}")
    if explain:
        _print_routes(result)
    note(f"{counted(result.candidates, 'candidate')} · ms: {stages(result.timings)}")


def _asked(query: str, image: str) -> str | Image:
    """The text, or the image from its file or URL."""
    from searchmesh.client import Image
    from searchmesh.runtime.errors import InvalidArgument

    if bool(query) == bool(image):
        raise InvalidArgument("QUERY", "give either a query or --image")
    if not image:
        return query
    return Image(url=image) if "://" in image else Image.from_file(image)


def _as_data(result: SearchResult) -> dict[str, Any]:
    """For programs: all of it, but of images the size alone."""
    import dataclasses

    data = dataclasses.asdict(result)
    for hit in data["hits"]:
        if image := hit["document"]["image"]:
            image["bytes"] = len(image.pop("data"))
    return data


def _print_routes(result: SearchResult) -> None:
    print_table(
        ("collection", "space", "searched", "why"),
        [(one.collection, one.space, "yes" if one.searched else "no", one.message) for one in result.routes],
    )


def _filter(client: Client, collections: Sequence[str], conditions: Sequence[str]) -> Filter | None:
    if not conditions:
        return None
    fields: dict[str, str] = {}
    for name in collections:
        fields |= client.get_collection(name).filter_fields
    return parse_conditions(conditions, fields)


def _print_hits(result: SearchResult, query: str, offset: int, *, full: bool, several: bool) -> None:
    from rich.table import Table

    out = console()
    terms = terms_of(query)
    for rank, hit in enumerate(result.hits, offset + 1):
        text = _shown(hit, terms, full=full)
        lines = [*_head(hit, terms, several), *_highlighted(text, terms).split()]
        if out.is_terminal:
            block = Table.grid(padding=(0, 1, 0, 0))
            block.add_column(justify="right", min_width=_INDENT - 1, style="dim")
            block.add_column()
            for number, line in enumerate(lines):
                block.add_row(f"{rank}." if number == 0 else "", line)
            out.print(block)
        else:
            for number, line in enumerate(lines):
                typer.echo(f"{f'{rank}.' if number == 0 else '':>{_INDENT - 1}} {line.plain}".rstrip())
        out.print()
    if not result.hits:
        note("nothing was found")


def _shown(hit: Hit, terms: list[str], *, full: bool) -> str:
    """The text, else what is known of the image."""
    text, image = hit.document.text, hit.document.image
    if text or image is None:
        return text if full else snippet(text, terms, _SNIPPET)
    return f"image at {image.url}" if image.url else f"image of {len(image.data):,} bytes" if image.data else "image"


def _head(hit: Hit, terms: list[str], several: bool) -> list[Text]:
    """Title, where it is, and scores, a line each."""
    from rich.text import Text

    title = hit.document.title or hit.document.id
    where = f"{hit.collection} · {hit.document.id}" if several else hit.document.id
    order = sorted(hit.stage_scores, key=lambda stage: (_STAGES.index(stage) if stage in _STAGES else 9, stage))
    scores = "  ".join(f"{stage} {hit.stage_scores[stage]:.3f}" for stage in order)
    return [
        _highlighted(title, terms, base="bold cyan"),
        *([Text(where, style="dim")] if where != title else []),
        Text.assemble((f"{hit.score:.4f}", "green"), (f"  {scores}", "dim")),
    ]


def _highlighted(text: str, terms: list[str], *, base: str = "") -> Text:
    from rich.text import Text

    marked: Any = Text(text, style=base)
    marked.highlight_regex(highlighting(terms), style="bold yellow")
    shown: Text = marked
    return shown
