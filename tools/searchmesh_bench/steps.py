"""Steps that take a while: a bar while one runs, a line once it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


@contextmanager
def step(console: Console, doing: str, done: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show progress while the block runs; the block tells how many of `total` are done. Nothing if it raises.

    Without a terminal there is a line at the beginning instead of the bar.
    """
    start = time.monotonic()
    if not console.is_terminal:
        console.print(f"{doing} …", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(30), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda completed: bar.update(task, completed=completed)
    console.print(f"[green]✓[/] {done} [dim]{time.monotonic() - start:.1f} s[/]")
