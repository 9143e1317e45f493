"""Commands that other packages bring: found by entry point, imported when they are run and not before."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import typer

from searchmesh.cli.output import flowed

GROUP = "searchmesh.commands"


@dataclass(frozen=True)
class Extension:
    """A command that is offered whether or not what it needs is installed."""

    entry: str
    """Name of the entry point: a function with typer's annotations, or a `typer.Typer`."""
    help: str
    extra: str
    """Of this package; brings what the command needs."""

    @property
    def name(self) -> str:
        """Last word of the command."""
        return self.entry.split()[-1]

    def add_to(self, app: typer.Typer, panel: str | None = None) -> None:
        """Offer the command. All its arguments, --help included, go to the real one."""
        settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

        def run(context: typer.Context) -> None:
            code = self._load()(args=context.args, prog_name=context.command_path, standalone_mode=False)
            if isinstance(code, int):  # what typer.Exit becomes there
                raise typer.Exit(code)

        app.command(self.name, help=self.help, rich_help_panel=panel, add_help_option=False, context_settings=settings)(
            run
        )

    def _load(self) -> typer.Typer:
        from searchmesh.runtime.errors import FailedPrecondition

        found = entry_points(group=GROUP, name=self.entry)
        hint = f"`searchmesh {self.entry}` needs more to be installed: pip install 'searchmesh[{self.extra}]'"
        if not found:
            raise FailedPrecondition(hint, reason="EXTRA_MISSING")
        try:
            loaded: Any = next(iter(found)).load()
        except ImportError as missing:
            raise FailedPrecondition(f"{hint} ({missing})", reason="EXTRA_MISSING") from missing
        if isinstance(loaded, typer.Typer):
            return loaded
        app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        app.command(self.name, help=flowed(loaded.__doc__))(loaded)
        return app


BENCH = Extension("bench", "Measure throughput and latency of the mesh.", "local")
EVAL = Extension("eval", "Measure how good search is on judged queries.", "local")
EXPORT = Extension("models export", "Export a model so that the mesh can serve it.", "export")
PULL = Extension("models pull", "Download a model from the Hugging Face hub and export it.", "export")
