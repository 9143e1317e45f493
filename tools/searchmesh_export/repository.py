"""Puts a model into the repository, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer

from searchmesh.catalog import Card, Export
from searchmesh.catalog.repository import CARD_FILE, TOKENIZER_FILE, CardFile


def describe(folder: Path, card: Card, export: Export) -> None:
    """Write card.json."""
    file = CardFile(card=card, export=export)
    (folder / CARD_FILE).write_text(file.model_dump_json(indent=2, exclude_defaults=True) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> str:
    """Write tokenizer.json; returns its SHA-256."""
    vocabulary = tokenizer.to_str(pretty=True)
    (folder / TOKENIZER_FILE).write_text(vocabulary, encoding="utf-8")
    return hashlib.sha256(vocabulary.encode()).hexdigest()


@contextmanager
def replaced(repository: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder for new versions of the folders `names`, which take their places when the block ends without an error.

    Those of `names` that were not written are removed. The last one is put in place last, so that it never stands for
    something that is not there yet.
    """
    repository.mkdir(parents=True, exist_ok=True)
    # Beside its final place, because a rename is atomic within one file system only.
    work = Path(tempfile.mkdtemp(prefix=f".{names[-1]}-", dir=repository))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        _swap(repository, fresh, work / "old", names)
    finally:
        shutil.rmtree(work)


def _swap(repository: Path, fresh: Path, old: Path, names: Sequence[str]) -> None:
    """Renames, which are undone if one of them fails."""
    old.mkdir()
    moves = [
        *((repository / name, old / name) for name in reversed(names)),
        *((fresh / name, repository / name) for name in names),
    ]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            if source.exists():
                source.rename(target)
                done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise
