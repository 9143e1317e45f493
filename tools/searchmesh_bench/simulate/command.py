"""The command ``searchmesh bench simulate``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from searchmesh.cli.output import JsonOption, console, print_json, print_table
from searchmesh.runtime.errors import InvalidArgument
from searchmesh_bench.simulate import MADE, TRACES, Load, Pool, Result, Scaling, load_of, simulate

_MOST_ROWS = 200
_COLUMNS = ("load", "start s", "target", "min", "pod-hours", "mean pods", "peak", "slow %", "shed %")


@dataclass(frozen=True)
class Row:
    """One combination of settings, and what came of it."""

    load: str
    pool: Pool
    scaling: Scaling
    seconds: float
    result: Result

    def cells(self) -> list[str]:
        """Under `_COLUMNS`."""
        result = self.result
        return [
            self.load,
            f"{self.pool.start_s:g}",
            f"{self.scaling.target_utilization:g}",
            str(self.scaling.min_replicas),
            f"{result.pod_hours:.2f}",
            f"{result.pod_hours * 3600 / self.seconds:.1f}",
            str(result.peak),
            f"{result.slow:.2%}".rstrip("%"),
            f"{result.shed:.2%}".rstrip("%"),
        ]


def simulate_pool(
    items_per_second_per_pod: Annotated[
        float, typer.Argument(metavar="CAPACITY", help="What `bench capacity` measured.", min=0.001)
    ],
    loads: Annotated[
        list[str] | None,
        typer.Option("--load", help=f"{', '.join((*MADE, *TRACES))}; may be repeated, as the next three may."),
    ] = None,
    target_utilization: Annotated[list[float] | None, typer.Option(min=0.01, max=1, show_default="0.7")] = None,
    min_replicas: Annotated[list[int] | None, typer.Option(min=0, max=1000, show_default="1")] = None,
    start_s: Annotated[
        list[float] | None,
        typer.Option(help="From a decision to a pod that serves.", min=0, max=3600, show_default="90"),
    ] = None,
    max_replicas: Annotated[int, typer.Option(min=1, max=1000)] = 8,
    per_second: Annotated[
        float | None, typer.Option(help="Mean items a second of the load.", min=0.001, show_default="twice CAPACITY")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Length of a load that is no recording.", min=1, max=240)] = 35.0,
    deadline_s: Annotated[float, typer.Option(help="Longer waits are refused at once.", min=0)] = 2.0,
    limit_s: Annotated[float, typer.Option(help="Longer waits count as slow.", min=0)] = 0.5,
    tokens_per_item: Annotated[float, typer.Option(help="Padded, in the mean.", min=1)] = 128.0,
    queued_tokens_per_pod: Annotated[int, typer.Option(help="Of the backlog guard.", min=1)] = 65536,
    seed: Annotated[int, typer.Option(help="Of loads that are no recordings.", min=0)] = 0,
    json: JsonOption = False,
) -> None:
    """Compare scaling settings of a Triton pool on simulated pods: what is paid, what is slow, what is shed.

    Every combination of the repeated options is run with the chart's formulas. Recorded loads need SEARCHMESH_DATA, a
    folder with traces-llm/. The simulation puts settings in order; it does not predict milliseconds.
    """
    pools = [Pool(each, deadline_s, limit_s, tokens_per_item) for each in start_s or [90.0]]
    base = Scaling(items_per_second_per_pod, max_replicas=max_replicas, queued_tokens_per_pod=queued_tokens_per_pod)
    scalings = [
        replace(base, target_utilization=target, min_replicas=fewest)
        for target, fewest in product(target_utilization or [0.7], min_replicas or [1])
    ]
    if any(scaling.min_replicas > max_replicas for scaling in scalings):
        raise InvalidArgument("min_replicas", f"is above the {max_replicas} of max_replicas")
    names = loads or ["ramp"]
    if len(names) * len(pools) * len(scalings) > _MOST_ROWS:
        raise InvalidArgument("load", f"and its settings make more than {_MOST_ROWS} combinations")
    traces = Path(os.environ.get("SEARCHMESH_DATA", "data")) / "traces-llm"
    mean = 2 * items_per_second_per_pod if per_second is None else per_second
    made = {name: load_of(name, per_second=mean, minutes=minutes, seed=seed, traces=traces) for name in names}
    rows = list(_rows(made, pools, scalings))
    if json:
        print_json([{**asdict(row), "result": {**asdict(row.result), "replicas": None}} for row in rows])
    else:
        print_table(_COLUMNS, [row.cells() for row in rows], right=_COLUMNS[1:])
        console().print(
            f"\n{mean:g} items/s in the mean, {items_per_second_per_pod:g} a pod, at most {max_replicas} pods; slow:"
            f" waited more than {limit_s:g} s; shed: would have waited more than {deadline_s:g} s.",
            style="dim",
            soft_wrap=True,
        )


def _rows(loads: dict[str, Load], pools: list[Pool], scalings: list[Scaling]) -> Iterator[Row]:
    for (name, load), pool, scaling in product(loads.items(), pools, scalings):
        yield Row(name, pool, scaling, load.seconds, simulate(load, pool, scaling))
