"""The command ``searchmesh models export``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from searchmesh.catalog import Card, ExportedModel, Flavour, Precision, load_card
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import FailedPrecondition

_notes = Console(stderr=True, highlight=False)

_DEFAULT_PRECISION: dict[Flavour, Precision] = {"python": "int8", "onnxruntime": "fp16", "tensorrt": "fp16"}


def export(
    name: Annotated[str, typer.Argument(help="Name in the catalog; `searchmesh models list` shows all.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="Checkpoint to export.", show_default="that of the model's package"
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to put it.", show_default="$SEARCHMESH_HOME/repository"),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Of the weights.", show_default="int8 on a CPU, fp16 on a GPU"),
    ] = None,
    flavour: Annotated[
        Flavour,
        typer.Option(help="What runs it: python (CPU, the local mesh), onnxruntime or tensorrt (tritonserver image)."),
    ] = "python",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a model so that the mesh can serve it.

    The graph is compared with the source model on texts of many lengths and scripts, and written only if their vectors
    agree. Prints the largest error that was measured, and the licence that goes with the weights.
    """
    card = load_card(name)
    target = repository or MeshSettings().folder.repository
    with _stages(card) as on_stage:
        try:
            # torch and transformers take seconds to import: not for --help, and not before a name is known.
            from searchmesh_export.exporter import export_model, source_folder
        except ImportError as missing:
            raise FailedPrecondition(
                f"exporting needs more to be installed: pip install 'searchmesh[export]' ({missing})",
                reason="EXTRA_MISSING",
            ) from missing
        model = export_model(
            card,
            source or source_folder(card),
            target,
            precision=precision or _DEFAULT_PRECISION[flavour],
            flavour=flavour,
            on_stage=on_stage,
        )
    if as_json:
        details = {"name": name, "path": str(model.path), "licence": card.licence}
        typer.echo(json.dumps(details | model.export.model_dump(mode="json"), indent=2))
    else:
        _report(model)


def _report(model: ExportedModel) -> None:
    parity = model.export.parity
    typer.echo(f"exported {model.name} ({model.precision}, {model.flavour}) to {model.path}")
    typer.echo(
        f"largest cosine error against the source model {parity.cosine_error:.1e},"
        f" tolerance {parity.cosine_tolerance:.0e}"
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
