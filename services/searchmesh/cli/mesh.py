"""``searchmesh up``, ``status``, ``logs`` and ``down``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from searchmesh.cli.output import JsonOption, console, counted, error_console, note, print_json, print_table

if TYPE_CHECKING:
    from searchmesh.local import ChildState, MeshSettings, MeshState

_NOT_ALL_READY = 3


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Start in the background and return once the mesh is ready.")
    ] = False,
    port_offset: Annotated[
        int, typer.Option(envvar="SEARCHMESH_PORT_OFFSET", metavar="N", help="Add this to every port.")
    ] = 0,
) -> None:
    """Start the mesh on this machine.

    That is tritonserver, two Redis servers and the services. Runs until Ctrl-C; a second Ctrl-C stops at once. Models
    must have been exported before (searchmesh models export).
    """
    from searchmesh import local

    settings = local.MeshSettings(port_offset=port_offset)
    reporter = _Reporter()
    if detach:
        state = local.up_detached(settings, reporter)
        note(f"the mesh is ready {_where(settings)}; process {state.pid}. Stop it with: searchmesh down")
        return

    def report(state: MeshState) -> None:
        was_ready = reporter.ready
        reporter(state)
        if state.ready and not was_ready:
            note(f"the mesh is ready {_where(settings)}. Stop it with Ctrl-C")

    local.up(settings, report)
    note("the mesh has stopped")


def down() -> None:
    """Stop the mesh. Calls that were accepted are finished first."""
    from searchmesh import local

    settings = local.MeshSettings()
    with error_console().status("stopping"):
        stopped = local.down(settings.home)
    note("the mesh has stopped" if stopped else f"no mesh runs on {settings.home}")


def status(json: JsonOption = False) -> None:
    """Show the parts of the mesh and whether they answer.

    Exit code 3 unless all are ready.
    """
    from searchmesh import local

    settings = local.MeshSettings()
    state = local.status(settings.home)
    if json:
        print_json(state.model_dump(mode="json") if state else None)
    elif state is None:
        note(f"no mesh runs on {settings.home}; start it with: searchmesh up")
    else:
        _print_children(state)
    if state is None or not state.ready:
        raise typer.Exit(_NOT_ALL_READY)


def logs(
    service: Annotated[
        str,
        typer.Argument(
            help="router, embedding, reranker, reader, triton, redis-cache, redis-index or supervisor.",
            metavar="SERVICE",
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with lines as they come, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", help="Lines from the end of the log.")] = 50,
) -> None:
    """Show the log of one part of the mesh."""
    from searchmesh import local

    for line in local.logs(local.MeshSettings().home, service, lines=lines, follow=follow):
        typer.echo(line)


class _Reporter:
    """Prints a line whenever a child becomes ready or has trouble."""

    def __init__(self) -> None:
        self.ready = False
        self._phases: dict[str, str] = {}
        self._start = time.monotonic()

    def __call__(self, state: MeshState) -> None:
        for child in state.children:
            if self._phases.get(child.name) != child.phase:
                self._phases[child.name] = child.phase
                self._report(child)
        self.ready = state.ready

    def _report(self, child: ChildState) -> None:
        elapsed = f"{time.monotonic() - self._start:6.1f} s"
        if child.phase == "ready":
            note(f"{elapsed}  {child.name} is ready")
        elif child.phase == "restarting":
            note(f"{elapsed}  {child.name} is restarted: {child.detail}")


def _where(settings: MeshSettings) -> str:
    return f"on 127.0.0.1:{settings.ports.router}"


def _print_children(state: MeshState) -> None:
    now = time.time()
    print_table(
        ("part", "state", "for", "pid", "ports", "restarts"),
        [
            (
                child.name,
                f"{child.phase}: {child.detail}" if child.detail else str(child.phase),
                _age(now - child.since),
                str(child.pid or ""),
                " ".join(f"{purpose} {port}" for purpose, port in child.ports.items()),
                str(child.restarts),
            )
            for child in state.children
        ],
        right=("for", "pid", "restarts"),
    )
    ready = sum(child.phase == "ready" for child in state.children)
    console().print(f"{ready} of {counted(len(state.children), 'part')} ready; process {state.pid}")


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
