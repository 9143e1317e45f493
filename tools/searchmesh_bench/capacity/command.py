"""The command ``searchmesh bench capacity``."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from searchmesh.cli.connection import targets
from searchmesh.cli.output import JsonOption, console, note, print_json
from searchmesh.client import ClientSettings
from searchmesh_bench.capacity import Capacity, Shape, Trial, measure


def capacity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that is served.", show_default=False)],
    items: Annotated[int, typer.Option(help="Texts, or pairs, of a call.", min=1, max=512)] = 8,
    words: Annotated[int, typer.Option(help="Words of each text: take what yours have.", min=1, max=4000)] = 100,
    limit_ms: Annotated[float, typer.Option(help="Bound of the 95th percentile of latency.", min=1)] = 500.0,
    seconds: Annotated[float, typer.Option(help="Length of a trial.", min=0.1, max=600)] = 10.0,
    pool: Annotated[str, typer.Option(help="Pool of the chart that has the model.")] = "encoders",
    json: JsonOption = False,
) -> None:
    """Measure what one pod of a model's pool does, and print it as the chart's value.

    Offers calls at a fixed rate, whatever the answers take, and looks for the highest rate at which no call is refused
    and 95 of 100 are answered within the bound. Run it against a single Triton pod of the kind that will be scaled,
    with nothing else going on, and with enough pods of the services that they are not what is measured. The services
    are those that SEARCHMESH_…_TARGET name, through `kubectl port-forward`, say, or those of the mesh on this machine.
    """
    addresses = {f"{name}_target": address for name, address in targets().items()}

    def show(trial: Trial) -> None:
        verdict = "kept up" if trial.sustained(limit_ms) else "too much"
        note(f"{trial.per_second * items:,.1f} items/s: p95 {trial.p95_ms:,.0f} ms, {trial.failed} failed, {verdict}")

    found = uvloop.run(
        measure(
            model,
            Shape(items, words),
            ClientSettings().model_copy(update=addresses),
            seconds=seconds,
            limit_ms=limit_ms,
            on_trial=show,
        )
    )
    if json:
        print_json({"items_per_second": found.items_per_second, "measured": found})
    else:
        _print(found, pool)


def _print(found: Capacity, pool: str) -> None:
    out = console()
    out.print(
        f"# {found.model}: calls of {found.shape.items} texts of about {found.shape.words} words, p95 within"
        f" {found.limit_ms:g} ms, trials of {found.seconds:g} s",
        soft_wrap=True,
    )
    out.print(found.values(pool), end="", markup=False, soft_wrap=True)
