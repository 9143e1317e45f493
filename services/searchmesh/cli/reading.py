"""``searchmesh read``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from searchmesh.cli.connection import TimeoutOption, connected
from searchmesh.cli.output import JsonOption, counted, note, print_json, stages

if TYPE_CHECKING:
    from searchmesh.client import ReadEvent, ReadFinished, ReadStarted

_TYPES = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".pdf": "application/pdf",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".json": "application/json",
    ".xml": "application/xml",
}
"""Other files are told from their content."""

Format = Literal["markdown", "text", "json"]
Engine = Literal["auto", "model", "rules"]
Retention = Literal["all", "text", "none"]


def read(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="File, http(s) URL, or - for standard input.")],
    format: Annotated[
        Format, typer.Option("--format", "-f", metavar="WORD", help="markdown, text or json.")
    ] = "markdown",
    engine: Annotated[
        Engine,
        typer.Option(
            metavar="WORD",
            help="auto, model or rules; auto is a model if one is loaded, else rules. Images need a model.",
        ),
    ] = "auto",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model.", show_default="the service's default")
    ] = "",
    instruction: Annotated[
        str, typer.Option("--instruction", "-i", metavar="TEXT", help="What to extract; needs a model.")
    ] = "",
    json_schema: Annotated[
        str, typer.Option(metavar="FILE|JSON", help="JSON Schema that the result has to satisfy; needs a model.")
    ] = "",
    target: Annotated[
        list[str] | None, typer.Option(metavar="CSS", help="Read only what this selects; may be repeated.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="CSS", help="Leave out what this selects; may be repeated.")
    ] = None,
    whole_page: Annotated[bool, typer.Option("--whole-page", help="All of the page, not its main content.")] = False,
    links: Annotated[Retention, typer.Option(metavar="WORD", help="all, text or none.")] = "all",
    images: Annotated[Retention, typer.Option(metavar="WORD", help="all, text (alternative text) or none.")] = "all",
    links_summary: Annotated[bool, typer.Option("--links-summary", help="List all links after the text.")] = False,
    images_summary: Annotated[bool, typer.Option("--images-summary", help="List all images after the text.")] = False,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Bound of the text.", show_default="none, or the service's for an image")
    ] = 0,
    url: Annotated[str, typer.Option(metavar="URL", help="Where a FILE came from; its links are relative to it.")] = "",
    timeout: TimeoutOption = 120.0,
    json: JsonOption = False,
) -> None:
    """Turn a web page, a PDF document or an image into Markdown, plain text or JSON.

    Prints the text as it comes. --json prints it with everything else that is known of the page.
    """
    from searchmesh.client import ReadOptions

    options = ReadOptions(
        engine=engine,
        model=model,
        format=format,
        instruction=instruction,
        json_schema=schema_of(json_schema) or None,
        target_selectors=target or (),
        remove_selectors=remove or (),
        whole_page=whole_page,
        links=links,
        images=images,
        links_summary=links_summary,
        images_summary=images_summary,
        max_tokens=max_tokens,
    )
    page, content_type = _page(source)
    with connected(timeout) as client:
        events = client.read_stream(page, options, content_type=content_type, url=url)
        if json:
            from searchmesh.client.reading import collected

            print_json(collected(events))
            return
        _print(events, format, may_start_anew=engine == "auto")


def _page(source: str) -> tuple[str | bytes, str]:
    """What to send, and its content type: a URL goes as it is."""
    if source.startswith(("http://", "https://")):
        return source, ""
    if source == "-":
        return sys.stdin.buffer.read(), ""
    path = Path(source)
    return path.read_bytes(), _TYPES.get(path.suffix.lower(), "")


def schema_of(given: str) -> str:
    """A schema that was given as it is, or by the name of its file."""
    return given if not given or given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")


def _print(events: Iterable[ReadEvent], format: Format, *, may_start_anew: bool) -> None:
    """The text as it comes; where it could turn out void and nobody watches it grow, once it is certain."""
    from searchmesh.client import ReadFinished, ReadStarted

    started: ReadStarted | None = None
    waiting: list[str] = []
    hold = False
    for event in events:
        match event:
            case ReadStarted():
                if started is not None and not hold:
                    sys.stdout.write("\n")
                    note(f"read again by {event.engine}: {event.reason}")
                started = event
                is_image = event.page.content_type.startswith("image/")  # which no other engine reads
                hold = may_start_anew and event.engine == "model" and not is_image and not sys.stdout.isatty()
                waiting = [_heading(event, format)]
            case ReadFinished():
                sys.stdout.write("".join(waiting) + "\n")
                waiting.clear()
                _print_summaries(event)
                if started is not None:
                    note(_remark(started, event))
            case _:
                waiting.append(event)
        if not hold:
            sys.stdout.write("".join(waiting))
            sys.stdout.flush()
            waiting.clear()


def _heading(started: ReadStarted, format: Format) -> str:
    """Rules tell the title apart from the text; a model has it where the page has it."""
    title = started.page.title
    return f"# {title}\n\n" if title and format == "markdown" and started.engine == "rules" else ""


def _print_summaries(finished: ReadFinished) -> None:
    for title, lines in (
        ("Links", [f"- [{link.text or link.url}]({link.url})" for link in finished.links]),
        ("Images", [f"- ![{image.alt}]({image.url})" for image in finished.images]),
    ):
        if lines:
            sys.stdout.write(f"\n## {title}\n\n" + "\n".join(lines) + "\n")


def _remark(started: ReadStarted, finished: ReadFinished) -> str:
    page = started.page
    parts = [
        page.title,
        ", ".join(page.authors),
        page.published_time,
        f"read by {started.model or 'rules'} ({started.reason})",
        f"{finished.finish_reason}" if finished.finish_reason != "stop" else "",
        "" if started.engine == "rules" or finished.fidelity is None else f"fidelity {finished.fidelity:.2f}",
        counted(finished.output_tokens, "token"),
        f"ms: {stages(finished.timings)}",
    ]
    return " · ".join(filter(None, parts))
