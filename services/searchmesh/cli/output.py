"""What commands print: data on stdout, everything else on stderr; plain where there is no terminal."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]

_UNLIMITED = 100_000
"""Width of output that is no terminal: nothing is wrapped or cut for a screen that is not there."""


def flowed(doc: str | None) -> str:
    """A docstring as a command's help: the screen decides where lines end, not the source."""
    from rich.markup import escape

    paragraphs = inspect.cleandoc(doc or "").split("\n\n")
    return "\n\n".join(" ".join(escape(paragraph).split()) for paragraph in paragraphs)


def console() -> Console:
    """For stdout."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _UNLIMITED)


def error_console() -> Console:
    """For stderr: progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else _UNLIMITED)


def problem(message: str, out: Console | None = None) -> None:
    """One clean line on stderr; `out` is the console of a progress bar that is being shown."""
    (out or error_console()).print(f"[bold red]error:[/bold red] {_escaped(message)}", soft_wrap=True)


def note(message: str) -> None:
    """A remark on stderr."""
    error_console().print(_escaped(message), soft_wrap=True)


def print_json(value: Any) -> None:
    """Data for programs: indented, in UTF-8, dataclasses as objects."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Rows under their columns' names; `right` are the columns of numbers.

    On a terminal, cells that do not fit are wrapped, but never those of the first column.
    """
    from rich.table import Table

    out = console()
    if not out.is_terminal:
        _print_aligned([columns, *rows], [column in right for column in columns])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column == columns[0]
        )
    for row in rows:
        table.add_row(*map(_escaped, row))
    out.print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Names and values, one a line; empty values are left out."""
    from rich.table import Table

    out = console()
    rows = [(name, value) for name, value in fields.items() if value]
    if not out.is_terminal:
        _print_aligned(rows, [False, False])
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, _escaped(value))
    out.print(table)


def _print_aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """Rows of one line each, however long."""
    lines = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        typer.echo("  ".join(cell.rjust(width) if end else cell.ljust(width) for cell, width, end in cells).rstrip())


def stages(timings: Mapping[str, float]) -> str:
    """Stage timings as one line, milliseconds."""
    return " · ".join(f"{stage} {milliseconds(seconds)}" for stage, seconds in timings.items())


def milliseconds(seconds: float) -> str:
    """A duration with the digits that mean something, without its unit, which is ms."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 passage``, ``1,234 passages``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
