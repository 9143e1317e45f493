"""``searchmesh index``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from searchmesh.cli.connection import connected
from searchmesh.cli.output import JsonOption, counted, error_console, note, print_json, problem
from searchmesh.cli.sources import Source, Unreadable, documents_of, find_sources
from searchmesh.cli.spaces import parse_filter_fields

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from searchmesh.client import Client, Document, IndexProgress

_SOME_FAILED = 1

_FILES_AT_ONCE, _WINDOW = 64, 8
"""Stale passages are looked for in so many files, so many passages each, with one call."""

_SHOWN_FAILURES = 20
"""More of them say no more than their number does."""


def index(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", metavar="PATH")],
    collection: Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="Where to put the documents.")],
    filter_field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:TYPE", help="New collection: a metadata field for --filter, of the type tag or number."
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            metavar="WORD", help="New collection: language of stemming and stop words.", show_default="english"
        ),
    ] = "",
    embedder: Annotated[
        str,
        typer.Option(metavar="MODEL", help="New collection: embedding model.", show_default="the service's default"),
    ] = "",
    reranker: Annotated[
        str,
        typer.Option(metavar="MODEL", help="New collection: reranking model.", show_default="the service's default"),
    ] = "",
    batch_size: Annotated[int, typer.Option(metavar="N", help="Documents of one message.")] = 64,
    json: JsonOption = False,
) -> None:
    """Put files into a collection.

    The collection is created for text if it does not exist. Markdown (.md) and text (.txt, .rst) files are split into
    passages of about 1,000 characters at headings and paragraphs; a line of a .jsonl file is one document with id,
    title, text and metadata (its other fields go into the metadata). Images (.png, .jpg, .webp, .gif) are documents,
    too, and so are those that a .jsonl line names in its field image, if the collection has a vector space for them:
    see searchmesh collections create.

    Ids are stable (docs/guide.md#3), so a second run embeds only what has changed, and removes passages that a file no
    longer has. Exit code 1 if a document failed.
    """
    sources = find_sources(paths)
    if not sources:
        note("there is nothing to index: no text, Markdown, JSONL or image file was found")
        return
    with connected() as client:
        started = time.monotonic()
        images = _takes_images(client, collection)
        kept = [source for source in sources if images or not source.is_image]
        if left := len(sources) - len(kept):
            note(f"{counted(left, 'image')} left out: {collection} has no vector space for images")
        if not kept:
            return
        created = _ensure_collection(client, collection, filter_field or [], language, embedder, reranker)
        run = _Run(kept, images=images)
        run.index(client, collection, batch_size)
    run.report(collection, created=created, seconds=time.monotonic() - started, json=json)
    if run.failures:
        raise typer.Exit(_SOME_FAILED)


def _takes_images(client: Client, name: str) -> bool:
    """Whether the collection is there and has a vector space for images."""
    from searchmesh.runtime.errors import NotFound

    try:
        return any(space.name == "image" for space in client.get_collection(name).spaces)
    except NotFound:
        return False


def _ensure_collection(
    client: Client, name: str, filter_fields: Sequence[str], language: str, embedder: str, reranker: str
) -> bool:
    """Whether the collection had to be created."""
    from searchmesh.client import VectorSpace
    from searchmesh.runtime.errors import AlreadyExists, NotFound

    try:
        client.get_collection(name)
    except NotFound:
        fields = {"path": "tag"} | parse_filter_fields(filter_fields)
        spaces = [VectorSpace(embedder=embedder)] if embedder else []
        try:
            client.create_collection(name, spaces=spaces, reranker=reranker, language=language, filter_fields=fields)
        except AlreadyExists:  # someone else has been quicker
            return False
        return True
    return False


class _Run:
    """One run over some files: what was sent, how far it is, what went wrong."""

    def __init__(self, sources: Sequence[Source], *, images: bool) -> None:
        self.failures: list[str] = []
        self._sources = sources
        self._images = images
        self._bytes = 0
        self._bytes_at: list[int] = []
        """Bytes of all files that are done when so many documents are."""
        self._passages: dict[str, int] = {}
        """Passages of each file that was split."""
        self._progress: IndexProgress | None = None
        self._removed = 0
        self._bar = _bar()

    def index(self, client: Client, collection: str, batch_size: int) -> None:
        """Send all documents, with a progress bar on a terminal, then remove passages that files no longer have."""
        with self._bar as bar:
            task = bar.add_task("indexing", total=max(1, sum(source.size for source in self._sources)), passages=0)
            for progress in client.index(collection, self._documents(), batch_size=batch_size):
                self._advance(progress, task)
            bar.update(task, completed=bar.tasks[task].total)
            self._removed = _remove_stale(client, collection, self._passages)

    def _documents(self) -> Iterator[Document | Mapping[str, Any]]:
        for source in self._sources:
            before = self._bytes
            count = 0
            for document in documents_of(source, images=self._images):
                if isinstance(document, Unreadable):
                    self._fail(document.message)
                    continue
                count += 1
                # How far into the file a passage is, its own length tells well enough.
                text = document.get("text", "") if isinstance(document, Mapping) else document.text
                self._bytes = min(before + source.size, self._bytes + len(text))
                self._bytes_at.append(self._bytes)
                yield document
            self._bytes = before + source.size
            if source.is_split and count:
                self._passages[source.name] = count

    def _advance(self, progress: IndexProgress, task: TaskID) -> None:
        for error in progress.errors:
            self._fail(f"{error.id or f'document {error.position}'}: {error.message}")
        self._progress = progress
        if progress.acknowledged:
            done = self._bytes_at[progress.acknowledged - 1]
            self._bar.update(task, completed=done, passages=progress.acknowledged)

    def _fail(self, message: str) -> None:
        self.failures.append(message)
        if len(self.failures) <= _SHOWN_FAILURES:
            problem(message, self._bar.console)

    def report(self, collection: str, *, created: bool, seconds: float, json: bool) -> None:
        """Say what was done."""
        from searchmesh.client import IndexProgress

        done = self._progress or IndexProgress()
        if json:
            print_json(
                {
                    "collection": collection,
                    "created": created,
                    "files": len(self._sources),
                    "documents": done.acknowledged,
                    "indexed": done.indexed,
                    "unchanged": done.unchanged,
                    "removed": self._removed,
                    "failed": len(self.failures),
                    "truncated": done.truncated,
                    "failures": self.failures,
                    "seconds": round(seconds, 3),
                }
            )
            return
        if (more := len(self.failures) - _SHOWN_FAILURES) > 0:
            problem(f"and {counted(more, 'failure')} more; --json lists all")
        truncated = f" ({done.truncated:,} cut for their vector)" if done.truncated else ""
        removed = f", {self._removed:,} removed" if self._removed else ""
        note(
            f"{collection}{' (new)' if created else ''}: {counted(len(self._sources), 'file')}, "
            f"{counted(done.acknowledged, 'document')} in {seconds:.1f} s: {done.indexed:,} indexed{truncated}, "
            f"{done.unchanged:,} unchanged{removed}, {len(self.failures):,} failed"
        )


def _remove_stale(client: Client, collection: str, passages: Mapping[str, int]) -> int:
    """Delete the passages that files had when they were longer; how many there were.

    Passages are numbered without gaps, so looking a window at a time beyond the last is enough.
    """
    removed = 0
    files = list(passages.items())
    for start in range(0, len(files), _FILES_AT_ONCE):
        beyond = 0
        while deleted := client.delete_documents(
            collection,
            [
                f"{name}#{count + beyond + number}"
                for name, count in files[start : start + _FILES_AT_ONCE]
                for number in range(_WINDOW)
            ],
        ):
            removed += deleted
            beyond += _WINDOW
    return removed


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = error_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[passages]:,} documents"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
