"""Writes a model into the repository, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from tokenizers import Tokenizer

from searchmesh.catalog import Card, Export, ExportedModel, Flavour, ModelRepository, Parity, Precision
from searchmesh.catalog.repository import CARD_FILE, TOKENIZER_FILE, CardFile
from searchmesh_export import serving
from searchmesh_export.pooled import OUTPUTS


def write(
    repository: Path,
    card: Card,
    graph: onnx.ModelProto,
    tokenizer: Tokenizer,
    *,
    width: int,
    precision: Precision,
    flavour: Flavour,
    parity: Parity,
    versions: dict[str, str],
) -> ExportedModel:
    """Write REPO/<model>, in the place of what was there. The same arguments give the same files."""
    with _replaced(repository, card.name) as folder:
        version = folder / "1"
        version.mkdir()
        model = graph.SerializeToString(deterministic=True)
        (version / "model.onnx").write_bytes(model)
        vocabulary = tokenizer.to_str(pretty=True)
        (folder / TOKENIZER_FILE).write_text(vocabulary, encoding="utf-8")
        _write_serving(folder, card, width, precision, flavour)
        export = Export(
            model_digest=hashlib.sha256(model).hexdigest(),
            tokenizer_digest=hashlib.sha256(vocabulary.encode()).hexdigest(),
            precision=precision,
            flavour=flavour,
            outputs=OUTPUTS,
            hidden_size=width,
            parity=parity,
            versions=versions,
        )
        file = CardFile(card=card, export=export)
        (folder / CARD_FILE).write_text(file.model_dump_json(indent=2, exclude_defaults=True) + "\n", encoding="utf-8")
    return ModelRepository(repository).load(card.name)


def _write_serving(folder: Path, card: Card, width: int, precision: Precision, flavour: Flavour) -> None:
    match flavour:
        case "python":
            config = serving.python_config(card.name, width)
            shutil.copyfile(Path(__file__).parent / "templates" / "model.py", folder / "1" / "model.py")
        case "onnxruntime":
            config = serving.onnxruntime_config(card.name, width, gpu=precision != "int8")
        case "tensorrt":
            config = serving.tensorrt_config(card.name, width, card.max_tokens, half=precision == "fp16")
            plan = serving.plan_config(card.name, width, card.max_tokens)
            (folder / "config.plan.pbtxt").write_text(serving.text(plan), encoding="utf-8")
            script = folder / "build-plan.sh"
            script.write_text(serving.plan_script(card.max_tokens), encoding="utf-8")
            script.chmod(0o755)
    (folder / "config.pbtxt").write_text(serving.text(config), encoding="utf-8")


@contextmanager
def _replaced(repository: Path, name: str) -> Iterator[Path]:
    """A folder to write into that becomes REPO/<name> when the block ends without an error."""
    repository.mkdir(parents=True, exist_ok=True)
    # Beside its final place, because a rename is atomic within one file system only.
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=repository))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        final = repository / name
        if final.exists():
            final.rename(work / "old")
        fresh.rename(final)
    finally:
        shutil.rmtree(work)
