"""``searchmesh embed`` and ``searchmesh rerank``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from searchmesh.cli.connection import TimeoutOption, connected
from searchmesh.cli.output import JsonOption, counted, note, print_json, print_table, stages

if TYPE_CHECKING:
    from searchmesh.client import Embeddings, Ranking

_SHOWN = 4
"""Components of a vector that are shown without --json."""

ModelOption = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the model.", show_default="the service's default")
]
DType = Literal["float32", "float16", "int8", "uint8", "binary"]
Truncation = Literal["refuse", "end", "start"]


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts, or - for one text a line from standard input.")
    ] = None,
    image: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="An image; may be repeated.")] = None,
    model: ModelOption = "",
    task: Annotated[
        str, typer.Option(metavar="NAME", help="One of the model's tasks.", show_default="the model's own")
    ] = "",
    dimensions: Annotated[
        int, typer.Option(metavar="N", help="One of the model's sizes.", show_default="the largest")
    ] = 0,
    dtype: Annotated[DType, typer.Option(metavar="TYPE", help="float32, float16, int8, uint8 or binary.")] = "float32",
    truncation: Annotated[
        Truncation,
        typer.Option(metavar="WORD", help="Of a text over the model's limit: refuse it, or cut its end or start."),
    ] = "refuse",
    multi_vector: Annotated[bool, typer.Option("--multi-vector", help="One vector per token.")] = False,
    chunk: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="A vector per chunk of each text: `sentences`, or a number of tokens.",
            show_default="a vector per text",
        ),
    ] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor fill the cache.")] = False,
    timeout: TimeoutOption = 30.0,
    json: JsonOption = False,
) -> None:
    """Turn texts and images into vectors.

    Shows their first components; --json prints them whole.
    """
    from searchmesh.client import Image

    texts, images = lines_or(texts or []), image or []
    with connected(timeout) as client:
        embeddings = client.embed(
            [*texts, *(Image.from_file(file) for file in images)],
            model=model,
            task=task,
            dimensions=dimensions,
            dtype=dtype,
            truncation=truncation,
            multi_vector=multi_vector,
            bypass_cache=no_cache,
            chunking=int(chunk) if chunk.isdecimal() else chunk or None,  # type: ignore[arg-type]
        )
    if json:
        print_json(_as_data(embeddings, several=multi_vector or bool(chunk)))
        return
    names = [*(shortened(text, 30) for text in texts), *(file.name for file in images)]
    print_table(
        ("input", "tokens", "vectors", "first components"),
        [
            (name, str(info.tokens), str(len(rows)), _components(rows[:1].ravel().tolist()))
            for name, info, rows in zip(names, embeddings.inputs, embeddings.per_input(), strict=True)
        ],
        right=("tokens", "vectors"),
    )
    cached = sum(info.cached for info in embeddings.inputs)
    note(
        f"{embeddings.model} · {embeddings.dimensions} dimensions · {embeddings.dtype} · "
        f"{counted(embeddings.tokens, 'token')} · {cached} of {len(names)} cached"
    )
    note(f"ms: {stages(embeddings.timings)}")


def rerank(
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="What is looked for.")] = None,
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts, or - for one text a line from standard input.")
    ] = None,
    image: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="An image; may be repeated.")] = None,
    query_image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An image that is looked for in place of QUERY.", show_default=False),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", "-n", metavar="N", help="Show only the best.", show_default="all")
    ] = None,
    model: ModelOption = "",
    instruction: Annotated[
        str, typer.Option(metavar="TEXT", help="How to judge, for models that read it.", show_default=False)
    ] = "",
    truncation: Annotated[
        Truncation,
        typer.Option(metavar="WORD", help="Of a text over the model's limit: refuse it, or cut its end or start."),
    ] = "end",
    timeout: TimeoutOption = 30.0,
    json: JsonOption = False,
) -> None:
    """Order texts and images by how relevant they are to a query."""
    from searchmesh.client import Image

    asked = Image.from_file(query_image) if query_image else query or ""
    texts = documents or []
    if query_image and query is not None:
        texts = [query, *texts]
    texts, images = lines_or(texts), image or []
    with connected(timeout) as client:
        ranking = client.rerank(
            asked,
            [*texts, *(Image.from_file(file) for file in images)],
            top_n=top,
            model=model,
            instruction=instruction,
            truncation=truncation,
        )
    names = [*texts, *map(str, images)]
    if json:
        print_json(_ranking_as_data(ranking, names))
        return
    print_table(
        ("score", "#", "document"),
        [(f"{result.relevance_score:.4f}", str(result.index), names[result.index]) for result in ranking.results],
        right=("score", "#"),
    )
    if ranking.query.truncated:
        note(f"the query was cut to {counted(ranking.query.tokens, 'token')}")
    note(f"{ranking.model} · {counted(ranking.tokens, 'token')} · ms: {stages(ranking.timings)}")


def lines_or(texts: list[str]) -> list[str]:
    """The texts, or the lines of standard input that are not empty if the only text is ``-``."""
    if texts != ["-"]:
        return texts
    return [line.rstrip("\r\n") for line in sys.stdin if line.strip()]


def shortened(text: str, length: int) -> str:
    """The text on one line, cut to a length."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _components(row: list[float]) -> str:
    shown = " ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row[:_SHOWN])
    return f"{shown} …" if len(row) > _SHOWN else shown


def _as_data(embeddings: Embeddings, *, several: bool) -> dict[str, object]:
    rows = embeddings.per_input()
    return {
        "model": embeddings.model,
        "dtype": embeddings.dtype,
        "dimensions": embeddings.dimensions,
        "vectors": [row.tolist() if several else row[0].tolist() for row in rows],
        "chunks": embeddings.chunks,
        "inputs": embeddings.inputs,
        "tokens": embeddings.tokens,
        "cache": embeddings.cache,
        "timings": embeddings.timings,
    }


def _ranking_as_data(ranking: Ranking, names: list[str]) -> dict[str, object]:
    return {
        "model": ranking.model,
        "results": [
            {
                "index": result.index,
                "relevance_score": result.relevance_score,
                "text" if result.image is None else "image": names[result.index],
                "input": result.input,
            }
            for result in ranking.results
        ],
        "query": ranking.query,
        "tokens": ranking.tokens,
        "timings": ranking.timings,
    }
