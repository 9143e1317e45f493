"""The documentation of the running Python's standard library as a corpus: real text that every machine has."""

from __future__ import annotations

from searchmesh.cli.passages import text_passages
from searchmesh.client import Document
from searchmesh_bench.pydocs.compiled import from_compiled
from searchmesh_bench.pydocs.entry import Entry
from searchmesh_bench.pydocs.sources import from_sources

__all__ = ["Entry", "corpus", "entries"]


def entries() -> list[Entry]:
    """Every documented public name once, in order of names. The same for the same Python."""
    found: dict[str, Entry] = {}
    for entry in (*from_sources(), *from_compiled()):
        found.setdefault(entry.name, entry)
    return [found[name] for name in sorted(found)]


def corpus() -> list[Document]:
    """A document per passage of each docstring: id ``zipfile.ZipFile.extract`` (``…#2`` for a second passage), title
    the qualified signature, metadata `module` and `kind`.
    """
    return [
        Document(
            id=entry.name if number == 1 else f"{entry.name}#{number}",
            title=entry.title,
            text=passage.text,
            metadata={"module": entry.module, "kind": entry.kind},
        )
        for entry in entries()
        for number, passage in enumerate(text_passages(entry.text), 1)
    ]
