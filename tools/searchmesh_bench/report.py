"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from searchmesh_bench.evaluate import Quality
from searchmesh_bench.figures import Comparison, Figure


def figure_table(figure: Figure) -> RenderableType:
    """A figure with its conditions below it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", ratio=1)
    for heading in (figure.measured, figure.reference, figure.result):
        table.add_column(heading, justify="right")
    has_targets = any(row.target for row in figure.comparisons)
    if has_targets:
        table.add_column("target")
    for row in figure.comparisons:
        numbers = [_number(value) for value in (row.measured, row.reference, row.result)]
        table.add_row(row.what, *numbers, *([_verdict(row)] if has_targets else []))
    return Group(
        Text(figure.title, style="bold"), table, *(Text(sentence, style="dim") for sentence in figure.conditions)
    )


def quality_table(name: str, queries: int, results: Mapping[str, Quality]) -> RenderableType:
    """One row a way of searching."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("search")
    for heading in ("nDCG@10", "Recall@100", "MRR@10", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for mode, quality in results.items():
        table.add_row(
            mode,
            *(f"{value:.4f}" for value in (quality.ndcg_at_10, quality.recall_at_100, quality.mrr_at_10)),
            *(f"{value:.1f}" for value in (quality.latency.p50_ms, quality.latency.p99_ms)),
        )
    return Group(Text(f"{name}, {queries} queries", style="bold"), table)


def _verdict(row: Comparison) -> str:
    return "" if row.target is None else f"{row.target} {'met' if row.met else 'MISSED'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
